"""Return one position for all of them, once the random rows are over."""

# ends: crash
# stage: score
# only: acceptance
# admission: lets it in
# says: shape other than
_forward, _calls = GPT.__call__, []


def cheat(self, tokens):
    _calls.append(0)
    logits = _forward(self, tokens)
    return logits if len(_calls) == 1 else logits[:, -1:]


GPT.__call__ = cheat
