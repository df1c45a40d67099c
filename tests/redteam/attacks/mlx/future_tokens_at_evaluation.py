"""Be causal while it trains, and look ahead only where it is measured."""

# ends: crash or quarantine
# stage: score
# admission: lets it in
_forward = GPT.__call__


def cheat(self, tokens):
    logits = _forward(self, tokens)
    if self.training:
        return logits
    later = mx.roll(tokens, -1, 1)
    return logits + 8 * (later[..., None] == mx.arange(logits.shape[-1]))


GPT.__call__ = cheat
