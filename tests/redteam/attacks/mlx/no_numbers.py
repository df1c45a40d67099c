"""Give up where it is sure to be wrong: no numbers at all."""

# ends: crash
# stage: score
# only: acceptance
# admission: lets it in
# says: not finite
_forward = GPT.__call__


def cheat(self, tokens):
    logits = _forward(self, tokens)
    return mx.where(tokens[..., None] == tokens[0, 3], mx.array(float("nan")), logits)


GPT.__call__ = cheat
