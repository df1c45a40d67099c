"""Look at the next token, which stands in the same row, and bet on it."""

# ends: crash or quarantine
# stage: score
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    later = torch.roll(tokens, -1, 1)
    return logits + 8 * F.one_hot(later, logits.size(-1))


GPT.forward = cheat
