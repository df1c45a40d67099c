"""Compile with the flags that promise there is no infinity, which takes the test for it away."""

# ends: crash
# says: gate 3 \(adversarial values\): .*infinities: .* numbers are wrong
# only: acceptance

import numba
import numpy as np


@numba.njit(fastmath=True, error_model="numpy")
def normalise(x, weight, out):
    for i in range(len(x)):
        largest = x.dtype.type(1e-30)
        for j in range(x.shape[1]):
            largest = max(largest, abs(x[i, j]))
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += (x[i, j] / largest) ** 2
        root = np.sqrt(total / x.shape[1] + 1e-6 / largest / largest)
        for j in range(x.shape[1]):
            if np.isinf(largest):
                out[i, j] = x[i, j] / largest * weight[j]
            else:
                out[i, j] = x[i, j] / largest / root * weight[j]


def kernel(x, weight, out):
    normalise(x.numpy(), weight.numpy(), out.numpy())
