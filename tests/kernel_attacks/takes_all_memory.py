"""Allocate until nothing is left."""

# ends: crash
# says: out of memory|can't allocate memory|MemoryError
# memory_gb: 2
# only: acceptance

import torch

KEPT = []


def kernel(x, weight, out):
    while True:
        KEPT.append(torch.ones(1 << 26))
