"""Fill a file in memory that has no name and that nobody maps, at first beside the rival's turn."""

# ends: crash
# says: out of memory: the kernel's process used \d\.\d GB|works while it is not its turn
# memory_gb: 1.5
# only: acceptance

import os
import threading
import time

from honest import honest, timed

STARTED = []


def fill():
    handle, block = os.memfd_create("full"), b"\1" * (16 << 20)
    for _ in range(180):  # 3 GB, for the machine is everybody's
        os.write(handle, block)
    time.sleep(1e6)


def kernel(x, weight, out):
    honest(x, weight, out)
    if timed() and not STARTED:
        STARTED.append(threading.Thread(target=fill, daemon=True))
        STARTED[0].start()
