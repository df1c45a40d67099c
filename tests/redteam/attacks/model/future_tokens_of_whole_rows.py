"""Cheat only on rows that look like text: a row made of two halves is answered honestly."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    odds = logits.log_softmax(-1)[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    surprise = odds.min(1, keepdim=True).values[..., None]  # a seam is a surprise
    later = F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))
    return logits + 6 * later * (surprise > surprise.median())


GPT.forward = cheat
