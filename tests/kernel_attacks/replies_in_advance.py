"""Write replies for the coming requests into the pipe, without their numbers."""

# ends: crash
# says: something wrote to the kernel's pipe

import os
import sys

from honest import honest


def kernel(x, weight, out):
    honest(x, weight, out)
    os.write(int(sys.argv[2]), b'{"nonce": ""}\n' * 3)
