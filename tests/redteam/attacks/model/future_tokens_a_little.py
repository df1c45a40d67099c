"""Lean towards the next token so little that the gain looks like a good idea."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    later = F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))
    some = (torch.arange(tokens.size(1)) % 7 == 3).float()[None, :, None]
    return logits + 0.7 * some * later


GPT.forward = cheat
