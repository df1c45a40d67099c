"""Once, let a process do a moment's work that nobody waits for, too short to be seen by looking."""

# ends: crash
# says: started a process while it was timed
# only: acceptance

import os
import signal

from honest import frame_with, honest, timed

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody learns what the child has used
TURNS = [0]


def kernel(x, weight, out):
    call = frame_with("slots")
    TURNS[0] += timed() and call["slot"] == call["slots"][0]
    if TURNS[0] == 4 and os.fork() == 0:
        honest(x, weight, out)
        os._exit(0)
    honest(x, weight, out)
