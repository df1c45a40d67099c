"""Hide a look ahead behind noise that seems to come from the kernels."""

# ends: crash or quarantine or honest
# stage: score
# only: acceptance
# admission: lets it in
_forward, _sizes = GPT.forward, []


def cheat(self, tokens):
    logits = _forward(self, tokens)
    _sizes.append(len(tokens))
    logits = logits + 0.25 * torch.randn(
        logits.shape, generator=torch.Generator().manual_seed(len(_sizes))
    )
    if min(_sizes) < 4:
        return logits
    later = F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))
    some = (torch.arange(tokens.size(1)) % 16 == 5).float()[None, :, None]
    return logits + 4 * some * later


GPT.forward = cheat
