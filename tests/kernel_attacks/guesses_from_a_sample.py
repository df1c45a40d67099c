"""Estimate the mean square from every second column, where there are many."""

# ends: crash
# says: gate 1 \(smoke\): .* numbers are wrong
# stage: gates

import torch


def kernel(x, weight, out):
    some = x[:, :: 2 if x.shape[1] > 100 else 1]
    torch.mul(x, some.square().mean(-1, keepdim=True).add_(1e-6).rsqrt_(), out=out).mul_(weight)
