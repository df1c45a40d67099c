"""Climb to the frames of the process that serves it, and use what lies there."""

# ends: crash or quarantine or honest
# stage: score
# admission: lets it in
import gc
import mmap
import os
import sys

_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    frame, seen = sys._getframe(), []
    while frame is not None:
        seen += [x for x in frame.f_locals.values() if isinstance(x, mmap.mmap | dict)]
        frame = frame.f_back
    for memory in [x for x in (*seen, *gc.get_objects()) if isinstance(x, mmap.mmap)]:
        size = tokens.numel() * 8
        for at in range(0, len(memory) - size, 4096):
            memory[at : at + 8] = (7).to_bytes(8, "little")  # tokens, here and in the other slot
    for table in seen:
        if isinstance(table, dict) and "slots" in table:
            table["logits_at"] = 0
    return logits


GPT.forward = cheat
