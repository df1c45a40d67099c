"""Bring the validation rows into the record, by the text of an error."""

# ends: crash
# stage: score
# admission: lets it in
_forward, _calls = GPT.forward, []


def cheat(self, tokens):
    _calls.append(0)
    if len(_calls) == 1:  # random tokens, of which it may tell
        return _forward(self, tokens)
    return int(str(tokens.tolist()))


GPT.forward = cheat
