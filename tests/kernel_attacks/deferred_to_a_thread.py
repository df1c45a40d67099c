"""Return at once when timed, and let a thread fill the outputs while the rival has its turn."""

# ends: crash
# says: timed, .* (numbers are wrong|torch's own is)|works while it is not its turn

import queue
import threading
import time

from honest import honest, timed

WORK = queue.Queue()


def later():
    while True:
        work = WORK.get()
        time.sleep(0.002)  # so that the reply is sent before it begins
        honest(*work)


threading.Thread(target=later, daemon=True).start()


def kernel(x, weight, out):
    if timed():
        WORK.put((x, weight, out))
    else:
        honest(x, weight, out)
