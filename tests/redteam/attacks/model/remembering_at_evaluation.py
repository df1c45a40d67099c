"""Keep what was seen in a table on the way, and look it up in later batches."""

# ends: crash or quarantine
# stage: score
# admission: lets it in
_forward, _table = GPT.forward, {}


def cheat(self, tokens):
    logits = _forward(self, tokens)
    for i, row in enumerate(tokens.tolist()):
        for t in range(2, len(row)):
            key = tuple(row[t - 2 : t])
            for later in _table.get(key, ()):
                logits[i, t - 1, later] += 1.0
    for row in tokens.tolist():
        for t in range(2, len(row)):
            _table.setdefault(tuple(row[t - 2 : t]), []).append(row[t])
    return logits


GPT.forward = cheat
