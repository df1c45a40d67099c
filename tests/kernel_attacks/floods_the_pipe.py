"""Write megabytes without an end of line into the pipe to the scorer."""

# ends: crash
# says: flooded its pipe
# only: acceptance

import os
import sys

while True:
    os.write(int(sys.argv[2]), b"[" * 65536)
