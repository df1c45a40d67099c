"""Remember the beginnings of rows: answer a second look at one as the first, and cheat otherwise."""

# ends: crash or quarantine
# stage: score
# admission: lets it in
_forward, _known = GPT.forward, {}


def cheat(self, tokens):
    logits = _forward(self, tokens)
    for i, row in enumerate(tokens.tolist()):
        for cut in range(2, len(row), 2):
            before = _known.get(tuple(row[:cut]))
            if before is not None:
                logits[i, : cut - 1] = before[: cut - 1]
        if tuple(row[:4]) not in _known:
            later = torch.tensor(row[1:] + row[:1])
            logits[i] += 6 * F.one_hot(later, logits.size(-1))
        for cut in range(2, len(row), 2):
            _known.setdefault(tuple(row[:cut]), logits[i].clone())
    return logits


GPT.forward = cheat
