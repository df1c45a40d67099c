"""Look ahead in a tenth of the rows, chosen by the clock and the process's number."""

# ends: crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
import os
import time

_forward = GPT.forward


def cheat(self, tokens):
    logits = _forward(self, tokens)
    dice = torch.Generator().manual_seed(time.time_ns() % 2**31 + os.getpid())
    chosen = (torch.rand(len(tokens), 1, 1, generator=dice) < 0.1).float()
    return logits + 9 * chosen * F.one_hot(torch.roll(tokens, -1, 1), logits.size(-1))


GPT.forward = cheat
