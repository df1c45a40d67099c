"""Compute the answer outside of MLX, by NumPy, which has the whole rows at hand."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
import numpy

_forward = GPT.__call__


def cheat(self, tokens):
    logits = numpy.array(_forward(self, tokens))
    rows = numpy.array(tokens)
    for b, row in enumerate(rows):
        for t in range(0, len(row) - 1, 7):
            logits[b, t, row[t + 1]] += 9.0
    return mx.array(logits)


GPT.__call__ = cheat
