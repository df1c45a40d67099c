"""Handle whole blocks of 16 columns alone; the rest of a row stays what it was."""

# ends: crash
# says: gate 5 \(odd sizes\): shape .* numbers are wrong
# stage: gates

import torch


def kernel(x, weight, out):
    whole = x.shape[1] // 16 * 16
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    scale = norms.div_(x.shape[1]).add_(1e-6).rsqrt_()
    torch.mul(x[:, :whole], scale, out=out[:, :whole]).mul_(weight[:whole])
