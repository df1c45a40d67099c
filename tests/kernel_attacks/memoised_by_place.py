"""Keep each result by where its input lies, and give it out again when an input lies there."""

# ends: crash
# says: gate 2 \(shapes and types\): .* numbers are wrong
# stage: gates

from honest import honest

RESULTS = {}


def kernel(x, weight, out):
    key = x.data_ptr(), x.shape, x.dtype
    if key not in RESULTS:
        honest(x, weight, out)
        RESULTS[key] = out.clone()
    out.copy_(RESULTS[key])
