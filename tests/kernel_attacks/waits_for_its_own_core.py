"""Let threads of the lowest rank wait for a core, in the hope that waiting excuses all delay."""

# ends: honest or crash
# says: works while it is not its turn
# threads: 2
# worth: 4
# only: acceptance

import os
import threading

import torch
from honest import frame_with, honest, timed

WANTED, SMALL = threading.Event(), torch.ones(100, 100)
torch.set_num_threads(1)


def wait():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while WANTED.wait():
        SMALL @ SMALL


for _ in range(4):
    threading.Thread(target=wait, daemon=True).start()


def kernel(x, weight, out):
    call = frame_with("slots")
    if timed():
        WANTED.set()
    honest(x, weight, out)
    if call["slot"] in call["slots"][-2:]:
        WANTED.clear()
