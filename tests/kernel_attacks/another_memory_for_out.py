"""Let `out` be a view of an older result, so that nothing has to be written."""

# ends: crash
# says: gate 1 \(smoke\): .* numbers are wrong, worst .* = nan
# stage: gates

import torch
from honest import honest


def kernel(x, weight, out):
    result = torch.empty_like(x)
    honest(x, weight, result)
    out.set_(result)
