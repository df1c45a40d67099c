"""Look ahead at one position in a hundred only, where the next token would cost most."""

# ends: crash or quarantine
# only: acceptance
# stage: score
# admission: lets it in
_forward, _sizes = GPT.forward, []


def cheat(self, tokens):
    logits = _forward(self, tokens)
    _sizes.append(len(tokens))
    if min(_sizes) < 4:
        return logits
    later = torch.roll(tokens, -1, 1)
    cost = -logits.log_softmax(-1).gather(2, later[..., None])[..., 0]
    worst = cost > cost.flatten().kthvalue(int(cost.numel() * 0.99)).values
    return logits + 9 * worst[..., None] * F.one_hot(later, logits.size(-1))


GPT.forward = cheat
