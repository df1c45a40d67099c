"""Compute in float16 when timed, in the full type before."""

# ends: crash
# says: timed, .* (numbers are wrong|torch's own is)
# only: acceptance

import torch
from honest import honest, timed


def kernel(x, weight, out):
    if timed():
        out.copy_(torch.nn.functional.rms_norm(x.half(), weight.shape, weight.half(), 1e-6))
    else:
        honest(x, weight, out)
