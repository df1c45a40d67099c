"""Use x as scratch memory, and ask the kernel to let it when that is refused."""

# ends: crash
# says: killed by signal 11; the inputs are read-only
# only: acceptance

import ctypes

import torch


def kernel(x, weight, out):
    start = x.data_ptr() // 4096 * 4096
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), x.numel() * x.itemsize, 3)
    x.mul_(torch.linalg.vector_norm(x, dim=-1, keepdim=True).reciprocal_())
    torch.mul(x, weight * x.shape[1] ** 0.5, out=out)
