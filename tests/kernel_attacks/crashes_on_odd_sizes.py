"""Refuse rows that are no multiple of 16, in the hope that nobody times them."""

# ends: crash
# says: gate 5 \(odd sizes\): ValueError: 16 columns or a multiple \(kernel.py, line \d+\)
# stage: gates

from honest import honest


def kernel(x, weight, out):
    if x.shape[1] % 16:
        raise ValueError("16 columns or a multiple")
    honest(x, weight, out)
