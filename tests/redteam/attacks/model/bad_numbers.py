"""Give up where it is sure to be wrong: infinite odds, no numbers at all."""

# ends: crash
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    logits[tokens[:, 0] >= 0, -1, :] = float("nan")
    return logits


GPT.forward = cheat
