"""Add up the squares in bfloat16."""

# ends: crash
# says: gate 1 \(smoke\): .* numbers are wrong
# stage: gates

import torch


def kernel(x, weight, out):
    mean = x.bfloat16().square().mean(-1, keepdim=True, dtype=torch.bfloat16)
    torch.mul(x, mean.add_(1e-6).rsqrt_().to(x.dtype), out=out).mul_(weight)
