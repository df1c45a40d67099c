"""Look ahead in the process that is scored, and be honest in one that is asked row by row."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
_forward, _sizes = GPT.forward, []


def cheat(self, tokens):
    logits = _forward(self, tokens)
    _sizes.append(len(tokens))
    if min(_sizes) < 4:
        return logits
    return logits + 6 * F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))


GPT.forward = cheat
