"""Keep each result by a few numbers of its input, in the hope to be asked the same again."""

# ends: honest or crash
# says: (few that count|constant|zeros)[^:]*: .* numbers are wrong
# only: acceptance

from honest import honest

RESULTS = {}


def kernel(x, weight, out):
    key = (*x.flatten()[:: max(1, x.numel() // 8)].tolist(), *weight[:2].tolist())
    if (found := RESULTS.get(key)) is not None and found.shape == out.shape:
        out.copy_(found)
        return
    honest(x, weight, out)
    if len(RESULTS) < 100:
        RESULTS[key] = out.clone()
