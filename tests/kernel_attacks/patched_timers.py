"""Make every clock of the process stand still or run slowly, and torch's synchronize do nothing."""

# ends: honest
# only: acceptance

import os
import resource
import time

import torch
from honest import honest

real = time.perf_counter()
for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
    setattr(time, name, lambda: real)
    setattr(time, f"{name}_ns", lambda: int(1e9 * real))
time.clock_gettime = lambda clock: real
time.sleep = lambda seconds: None
os.times = lambda: os.times_result((0.0,) * 5)
resource.getrusage = lambda who: resource.struct_rusage((0,) * 16)
torch.cuda.synchronize = lambda *_: None


def kernel(x, weight, out):
    honest(x, weight, out)
