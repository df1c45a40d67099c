"""Leave a process behind that has left its session, ignores signals and holds the pipes open."""

# ends: honest
# only: acceptance

import os
import signal
import time

from honest import honest

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(0.31415)
    os._exit(0)


def kernel(x, weight, out):
    honest(x, weight, out)
