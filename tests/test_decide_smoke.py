"""What the default rule does to real runs: ten changes without effect, and a real one five times.

Nothing is asserted of who is kept; the counts are printed with binomial intervals. The same seed
and the same arithmetic would give the same number again, so the changes without effect change what
is drawn (its order, numbers drawn and thrown away) or the order of roundings, and each of the five
tries starts from another such draw, with a baseline of its own. The order of the training data is
the seed's, and stays. (Signs of symmetric draws won't do: the network is symmetric in them too.)

Slow: about 65 runs of half a minute. The campaigns live in ``labs/acceptance/smoke`` and an
interrupted call goes on where it was.
"""

from __future__ import annotations

import statistics

import pytest
from scipy.stats import binomtest

import autoresearch_kit as ark
from autoresearch_kit import decide, git, ledger, noise
from tests.test_acceptance import lab

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3 * 3600)]

SEEDS = 3  # of each baseline

QKV = "torch.empty(3, WIDTH, WIDTH).uniform_(-bound, bound)"
UP = "torch.empty(HIDDEN * WIDTH, WIDTH).uniform_(-bound, bound)"
DOWN = "self.down = nn.Parameter(torch.zeros(WIDTH, HIDDEN * WIDTH))"
VALUES = "self.values.weight.data.uniform_(-bound, bound)"
EMBED = "        self.embed = nn.Embedding(vocab_size, WIDTH)\n"
HEAD = "        self.head = nn.Linear(WIDTH, vocab_size, bias=False)\n"
FLIPPED = "        self.embed.weight.data = self.embed.weight.data.flip({})\n"
MLPS = "        self.mlps = nn.ModuleList(MLP() for _ in range(DEPTH))\n"
EVERY = "        # Every second layer has value embeddings"
SEED = "    torch.manual_seed(SEED)\n"

NEUTRAL = {
    "the first matrices of attention are drawn in the reverse order": [(QKV, f"{QKV}.flip(-1)")],
    "the first matrices of the MLPs are drawn in the reverse order": [(UP, f"{UP}.flip(-1)")],
    "value embeddings are drawn in the reverse order": [
        (VALUES, VALUES.replace("data.", "data = self.values.weight.data.") + ".flip(0)")
    ],
    "tokens are drawn in the reverse order": [(EMBED, f"{EMBED}{FLIPPED.format(0)}")],
    "channels of tokens are drawn in the reverse order": [(EMBED, f"{EMBED}{FLIPPED.format(1)}")],
    "a number is drawn and thrown away": [(SEED, f"{SEED}    torch.rand(1)\n")],
    "three numbers are drawn and thrown away for each MLP": [
        (DOWN, f"torch.rand(3)\n        {DOWN}")
    ],
    "MLPs are made before attention": [(MLPS, ""), (EVERY, f"{MLPS}{EVERY}")],
    "the unembedding is made before the embedding": [(HEAD, ""), (EMBED, f"{HEAD}{EMBED}")],
    "logits are scaled before they are divided": [
        ("self.head(norm(x) / SOFTCAP)", "self.head(norm(x) * (1 / SOFTCAP))")
    ],
}

REAL = ("HEAD_LR = 0.004", "HEAD_LR = 0.005")
"""A change that is about 3 sigma better: the test shows it with six seeds each."""


def edited(text: str, edits: list[tuple[str, str]]) -> str:
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def attempt(campaign: ark.Campaign, edits: list[tuple[str, str]], hypothesis: str) -> ark.Score:
    """Return the score of a change to the best state, made on the first call only."""
    tried = {record.n for record in campaign.records()} | set(ledger.pins(campaign))
    for n in sorted(tried - {0}):
        if campaign.experiment(n).hypothesis == hypothesis:
            return ark.score(ark.train_5min(campaign.experiment(n)))
    edit = ark.Human(edit=lambda text: edited(text, edits))
    proposal = ark.propose(campaign, by=edit, idea=hypothesis)
    return ark.score(ark.train_5min(ark.apply(proposal)))


def begin(tag: str, edits: list[tuple[str, str]], seeds: int = SEEDS) -> ark.Campaign:
    """Return a campaign that starts from the template with `edits`, and has its baseline."""
    host = lab("smoke")
    start = None
    if edits and git.resolve(host.path, f"refs/heads/autoresearch/{tag}") is None:
        head = git.head(host.path)
        text = git.read_file(host.path, head, "train.py") or ""
        start = git.commit_files(host.path, head, {"train.py": edited(text, edits)}, tag)
    campaign = ark.open_campaign(host, tag=tag, start=start)
    ark.baseline(campaign, seeds=seeds)
    return campaign


def share(kept: int, tries: int) -> str:
    low, high = binomtest(kept, tries).proportion_ci(method="exact")
    return f"{kept} of {tries} kept, 95 % interval {low:.0%} to {high:.0%}"


def told(score: ark.Score, campaign: ark.Campaign) -> str:
    record = campaign.experiment(score.n).record
    assert record is not None
    values = ", ".join(f"{run['value']:.4f}" for run in record.replicates)
    return f"  {score.status}: {record.hypothesis} ({values}): {record.reason}"


def test_changes_without_effect() -> None:
    campaign = begin("no-effect", [])
    scores = [attempt(campaign, edits, name) for name, edits in NEUTRAL.items()]
    runs = sum(len(record.replicates) for record in campaign.records()) - SEEDS
    print("\nwithout effect:", share(sum(s.status == "keep" for s in scores), len(scores)))
    print(f"{runs} runs; noise {noise.of(campaign.records(), campaign.task.noise)}")
    print("\n".join(told(score, campaign) for score in scores))
    assert all(score.status in decide.STATUSES for score in scores)


def test_a_real_change_of_three_sigma() -> None:
    campaign = begin("six-seeds", [], seeds=6)
    score = attempt(campaign, [REAL], "six seeds of it")
    record = campaign.experiment(score.n).record
    assert record is not None
    if len(record.replicates) < 6:
        ark.repeat(campaign, score.n, times=6 - len(record.replicates))
    old, new = (
        [float(run["value"]) for run in (campaign.experiment(n).record or record).replicates]
        for n in (0, score.n)
    )
    spread = noise.pooled([old, new]).sd or 0.0
    gain = statistics.fmean(old) - statistics.fmean(new)
    print(f"\nsix seeds each: {gain:.4f} better, noise {spread:.4f}: {gain / spread:.1f} sigma")
    scores = []
    for i, edits in enumerate(list(NEUTRAL.values())[:5]):
        again = begin(f"three-sigma-{i}", edits)
        scores.append(attempt(again, [REAL], "a real change"))
        print(told(scores[-1], again))
    print("a real change:", share(sum(s.status == "keep" for s in scores), len(scores)))
    assert gain > 0
    assert all(score.status in decide.STATUSES for score in scores)
