"""Whether lower or higher is better: given, written, in the metric's name, or in its course."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from autoresearch_kit import goals


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOWER = _words(
    "loss losses bpb bpc bpd ppl perplexity nll err errs error errors wer cer eer ter rmse mse mae "
    "mape smape rmsle msle kl divergence fid kid lpips latency lat ms us ns sec secs seconds "
    "minutes time duration runtime elapsed size bytes kb mb gb cost costs usd price regret "
    "distance dist gap drawdown dd misses miss complexity gates cycles instructions failures "
    "failed violations brier entropy ce bce loc lines bits energy watts joules gas allocs "
    "conflicts warnings penalty residual deviation variance crossings sorry"
)
_HIGHER = _words(
    "acc accuracy f1 f05 f2 fscore auc auroc roc prauc auprc ap map ndcg mrr precision recall "
    "sensitivity specificity r2 psnr ssim iou miou dice bleu rouge meteor chrf cider reward "
    "rewards return returns sharpe sortino calmar elo win winrate wins throughput tps qps rps "
    "iops fps flops tflops gflops mflops pflops speedup speed bandwidth bw gbps mfu mcc kappa "
    "coverage passed passing pass silhouette correlation corr spearman pearson kendall elbo "
    "utility profit pnl yield success solved correct quality likelihood loglik ess hit hits "
    "agreement"
)
_HIGHER_PERHAPS = _words("score scores rating points fitness")
_TURNED = _words("reduction reduced saved saving savings improvement gain neg negative decrease")
_LIKE_TYPES = _words("f1 f2 f05")
_TYPE = re.compile(r"(?:b?f|bf|fp|tf|u?int|[iu])(?:4|8|16|32|64)|cvt|convert|cast")
_RATE = re.compile(
    r"(?:^|_)(?:per_(?:s|sec|second|min|minute|h|hour|day|joule|watt))(?:_|$)"
    r"|(?:^|_)(?:tok|toks|tokens|req|reqs|it|its|iter|iters|steps|samples|img|images|ops|rows"
    r"|examples|seqs|queries|gb|mb)_(?:s|sec|second)(?:_|$)"
)
_SAYS = re.compile(
    r"\b(higher|lower|larger|smaller|bigger)[\s_-]+is[\s_-]+better|\b(maximi[sz]e|minimi[sz]e)\b"
    r"|\bdirection\W+(higher|lower|max|min|up|down)\b",
    re.IGNORECASE,
)
_UP = {"higher", "larger", "bigger", "maximize", "maximise", "max", "up"}


def key(name: str) -> str:
    """Return a column's name as words of lower case joined by ``_``: ``valLoss`` is ``val_loss``.

    A blank, a slash or brackets part words too; ``%`` is the word ``pct``.
    """
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name.strip()).lower()
    name = name.replace("%", "_pct").replace("/s", "_per_s").replace("#", "_n")
    return "_".join(re.findall(r"[^\W_]+", name))


def of_name(name: str) -> tuple[str, str, bool]:
    """Return what a metric's name says: the goal ("" for nothing), the word, and whether surely.

    The last word that has a direction counts: ``accuracy_loss`` is a loss.
    """
    for arrow, goal in (("↓", "minimize"), ("↑", "maximize")):
        if arrow in name:
            return goal, arrow, True
    words = key(name)
    rate = _RATE.search(words)
    if rate:
        return "maximize", rate[0].strip("_").replace("_", " "), True
    tokens = words.split("_")
    turned = bool(_TURNED & set(tokens))
    if any(map(_TYPE.fullmatch, tokens)):  # f32_to_f1 is a cut-off conversion, no score
        tokens = [t for t in tokens if t not in _LIKE_TYPES]
    for token in reversed(tokens):
        if token in _LOWER or (token == "s" and len(tokens) > 1):
            return "maximize" if turned else "minimize", token, True
        if token in _HIGHER:
            lower = turned and bool({"neg", "negative", "reduction"} & set(tokens))
            return "minimize" if lower else "maximize", token, True
    weak = [t for t in tokens if t in _HIGHER_PERHAPS]
    return ("maximize", weak[-1], False) if weak else ("", "", False)


def of_words(words: Iterable[str]) -> tuple[str, str]:
    """Return the goal that comments say, "" for none or when they disagree, and the words."""
    found = [match for line in words for match in _SAYS.finditer(line)]
    named = {
        "maximize" if {g.lower() for g in match.groups() if g} & _UP else "minimize"
        for match in found
    }
    return (named.pop(), found[0][0]) if len(named) == 1 else ("", "")


def of_course(values: Sequence[float | None], statuses: Sequence[str]) -> tuple[int, int, int, int]:
    """Return how verdicts and values go together.

    Returns
    -------
    tuple of int
        Kept values below and above the one kept before, and discarded values above and below the
        last kept one. The first and third speak for lower, the second and fourth for higher.
    """
    fell = rose = above = below = 0
    kept: float | None = None
    for value, status in zip(values, statuses, strict=True):
        if value is None or status not in {"keep", "discard", "baseline"}:
            continue
        if kept is not None and status == "keep":
            fell += value < kept
            rose += value > kept
        elif kept is not None and status == "discard":
            above += value > kept
            below += value < kept
        if status != "discard":
            kept = value
    return fell, rose, above, below


def _of(some: int, every: int, what: str, do: str) -> str:
    return f"{some} of {every} {what}{'s' * (every != 1)} {do}{'s' * (some == 1)}"


def infer(
    metric: str,
    values: Sequence[float | None],
    statuses: Sequence[str],
    goal: str | None = None,
    comments: Iterable[str] = (),
) -> tuple[str, list[str]]:
    """Return ``"minimize"`` or ``"maximize"`` for a metric, and the reasons as sentences.

    What is given wins, then what the file says, then a name that leaves no doubt, then the course
    of the verdicts, then a name such as ``score``. Without any of these it is a guess, and the
    sentence says so.

    Parameters
    ----------
    metric
        Its name.
    values, statuses
        Of all experiments in order; None and other words than keep and discard count for nothing.
    goal
        What the caller knows.
    comments
        Text of the file beside its rows.
    """
    fell, rose, above, below = of_course(values, statuses)
    lower, higher = fell + above, rose + below
    course = ""
    if lower + higher >= 2 and (lower > 2 * higher or higher > 2 * lower):
        course = "minimize" if lower > higher else "maximize"
    counts = (
        f"{_of(fell, fell + rose, 'kept value', 'fall')} and "
        f"{_of(above, above + below, 'discarded one', 'lie')} above the last kept one"
        if course == "minimize"
        else f"{_of(rose, fell + rose, 'kept value', 'rise')} and "
        f"{_of(below, above + below, 'discarded one', 'lie')} below the last kept one"
    )
    named, word, sure = of_name(metric)
    said, words = of_words(comments)
    if goal:
        chosen, why = goal, "as given"
    elif said:
        chosen, why = said, f"as the file says ({words})"
    elif named and sure:
        chosen, why = named, f"as the name says ({word})"
    elif course:
        chosen, why = course, f"as the verdicts say: {counts}"
    elif named:
        chosen, why = named, f"as the name suggests ({word})"
    else:
        chosen, why = "minimize", "a guess: neither its name nor the verdicts tell"
        why += "; pass goal='maximize' if that is wrong"
    reasons = [f"{goals.better(chosen)} {metric or 'values'} is better, {why}"]
    if course and course != chosen:
        reasons.append(
            f"the verdicts speak against that: {counts}; pass goal={course!r} if they are right"
        )
    return chosen, reasons
