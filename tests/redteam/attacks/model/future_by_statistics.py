"""Let what the whole row holds lift its tokens everywhere: a leak that names no position."""

# ends: crash or quarantine
# stage: score
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    counts = F.one_hot(tokens, logits.size(-1)).sum(1, keepdim=True).float()
    return logits + 1.5 * torch.log1p(counts)


GPT.forward = cheat
