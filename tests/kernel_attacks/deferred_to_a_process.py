"""Return at once when timed, and let a process that was forked before fill the outputs."""

# ends: crash
# says: timed, .* (numbers are wrong|torch's own is)|works while it is not its turn
# only: acceptance

import ctypes
import os
import struct
import sys

import torch
from honest import honest, timed

READ, WRITE = os.pipe()
PLACE = struct.Struct("<5q")


def tensor(address, *shape):
    count = 4 * torch.Size(shape).numel()
    memory = (ctypes.c_char * count).from_address(address)  # mapped before the fork, and shared
    return torch.frombuffer(memory, dtype=torch.float32).view(shape)


if os.fork() == 0:
    for handle in map(int, sys.argv[1:3]):
        os.close(handle)
    while place := os.read(READ, PLACE.size):
        x, weight, out, N, D = PLACE.unpack(place)
        honest(tensor(x, N, D), tensor(weight, D), tensor(out, N, D))
    os._exit(0)


def kernel(x, weight, out):
    if timed():
        places = (each.data_ptr() for each in (x, weight, out))
        os.write(WRITE, PLACE.pack(*places, *x.shape))
    else:
        honest(x, weight, out)
