"""End the process in the middle of a timed turn, as if all were well."""

# ends: crash
# says: the kernel's process exited with status 0 while .* timed
# only: acceptance

import os

from honest import honest, timed


def kernel(x, weight, out):
    if timed():
        os._exit(0)
    honest(x, weight, out)
