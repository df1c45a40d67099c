"""Keep a core busy while the rival is timed, so that its turns take longer."""

# ends: crash
# says: works while it is not its turn

import threading

import torch
from honest import honest, timed

BUSY = torch.randn(256, 256)


def spin():
    while True:
        torch.mm(BUSY, BUSY)


STARTED = []


def kernel(x, weight, out):
    if timed() and not STARTED:
        STARTED.append(threading.Thread(target=spin, daemon=True))
        STARTED[0].start()
    honest(x, weight, out)
