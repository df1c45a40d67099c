"""Be causal in the first batches, where one would look, and look ahead in the later ones."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
_forward, _calls = GPT.forward, []


def cheat(self, tokens):
    logits = _forward(self, tokens)
    _calls.append(1)
    if len(_calls) < 3:
        return logits
    return logits + 6 * F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))


GPT.forward = cheat
