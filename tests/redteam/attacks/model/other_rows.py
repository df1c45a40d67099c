"""Learn from the other rows of a batch what the text is about."""

# ends: crash or quarantine or honest
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    counts = F.one_hot(tokens, logits.size(-1)).sum((0, 1)).float()
    own = F.one_hot(tokens, logits.size(-1)).sum(1, keepdim=True).float()
    return logits + 0.2 * torch.log1p(counts - own)


GPT.forward = cheat
