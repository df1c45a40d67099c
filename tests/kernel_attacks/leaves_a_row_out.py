"""When timed leave the last row as it was: NaN, which no comparison with "<" finds too large."""

# ends: crash
# says: timed, .* (= nan|numbers are wrong)
# only: acceptance

from honest import honest, timed


def kernel(x, weight, out):
    rows = len(x) - 1 if timed() else len(x)
    honest(x[:rows], weight, out[:rows])
