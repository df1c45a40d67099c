"""Fork in a timed call; the child works on when the parent has said that it is done."""

# ends: crash
# says: started a process while it was timed|numbers are wrong|torch's own is|not its turn
# only: acceptance

import os
import signal

from honest import honest, timed

signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def kernel(x, weight, out):
    if timed() and os.fork():
        return
    honest(x, weight, out)
    if timed():
        os._exit(0)
