"""Learn from the other rows of a batch what the text is about."""

# ends: crash or quarantine or honest
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.__call__


def cheat(self, tokens):
    logits = _forward(self, tokens)
    seen = (tokens[..., None] == mx.arange(logits.shape[-1])).sum(1).astype(mx.float32)  # (B, V)
    others = seen.sum(0, keepdims=True) - seen
    return logits + 0.5 * mx.log1p(others)[:, None]


GPT.__call__ = cheat
