"""Fill the pipe of requests and answer this one: the scorer would wait for ever to write on."""

# ends: crash
# says: something filled the kernel's pipe of requests

import contextlib
import json
import os
import sys
import time

from honest import frame_with, honest


def kernel(x, weight, out):
    honest(x, weight, out)
    pipe = os.open(f"/proc/self/fd/{sys.argv[1]}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b" ")
    main = frame_with("replies")
    main["replies"].write(json.dumps({"nonce": main["nonce"]}) + "\n")
    time.sleep(1e6)
