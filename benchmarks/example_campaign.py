"""Record the example campaign: data/example-campaign.bundle, which notebook 03 and the README show.

An optimiser turns the constants, then a person's changes of the code join in, each with the effect
that was guessed beforehand. Everything is decided by the default rule; what it puts into quarantine
waits for `ark.override`. An interrupted call goes on.

    python benchmarks/example_campaign.py labs/example --bundle data/example-campaign.bundle
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import autoresearch_kit as ark

TUNED_FIRST = 12
"""Experiments of the optimiser before the first change of the code."""

CODE_NEXT = """
# From here on

The constants have had their turn. What would change how the model learns comes first now:
embeddings, positions, activations, schedules. One change at a time, as small as it can be.
"""


class Idea(NamedTuple):
    """A change of train.py: what is expected of it, by how much, and pairs of old and new text."""

    hypothesis: str
    guess: float
    changes: tuple[tuple[str, str], ...]


IDEAS = (
    Idea(
        "value embeddings in every layer: more room for rare tokens at hardly any cost",
        -0.01,
        (("vocab_size if (DEPTH - i) % 2 else None", "vocab_size"),),
    ),
    Idea(
        "GELU instead of squared ReLU: smoother gradients in so few steps",
        -0.005,
        (("F.relu(F.linear(x, self.up)).square()", "F.gelu(F.linear(x, self.up))"),),
    ),
    Idea(
        "rotary base 1,000: the context is short, slow angles never turn",
        -0.005,
        (("10_000.0 ** -(", "1_000.0 ** -("),),
    ),
    Idea(
        "an embedding of the token pair, hashed to 8,192 rows: bigrams without learning them",
        -0.05,
        (
            (
                "        self.head = nn.Linear(WIDTH, vocab_size, bias=False)\n",
                "        self.pairs = nn.Embedding(8192, WIDTH)\n"
                "        nn.init.zeros_(self.pairs.weight)\n"
                "        self.head = nn.Linear(WIDTH, vocab_size, bias=False)\n",
            ),
            (
                "            x = x0 = norm(self.embed(tokens).to(",
                "            before = F.pad(tokens, (1, 0))[:, :-1]\n"
                "            pair = self.pairs((before * 31 + tokens) % 8192)\n"
                "            x = x0 = norm((self.embed(tokens) + pair).to(",
            ),
        ),
    ),
    Idea(
        "heads of 96 channels: fewer and wider",
        -0.002,
        (("HEAD = ", "HEAD = 96  # was "),),
    ),
    Idea(
        "without the norm of queries and keys: one operation less",
        0.02,
        (("(norm(rotate(z, *rope)).to(v.dtype)", "(rotate(z, *rope).to(v.dtype)"),),
    ),
    Idea(
        "learning rates fall along 1 - sqrt instead of a line: more time at low rates",
        -0.005,
        (
            (
                "    fall = min(1.0, (1 - progress) / WARMDOWN)\n",
                "    fall = 1 - (1 - min(1.0, (1 - progress) / WARMDOWN)) ** 0.5\n",
            ),
        ),
    ),
    Idea(
        "three steps towards orthogonal instead of five: cheaper, and exact enough",
        -0.01,
        (
            (
                "    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),\n"
                "    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),\n",
                "",
            ),
        ),
    ),
    Idea(
        "Muon without evening out rows: does the simpler code do?",
        0.0,
        (
            (
                "            power = g.square().mean(-1 if R >= C else -2, keepdim=True)\n"
                '            state["power"].lerp_(power, 1 - BETAS[1])\n'
                '            even = state["power"].clamp_min(1e-10).rsqrt()\n'
                "            # The whole matrix keeps its size, which is a sum over what each row "
                "contributes.\n"
                "            evened = (power * even**2).sum((-2, -1), keepdim=True)"
                ".clamp_min(1e-10)\n"
                "            kept = power.sum((-2, -1), keepdim=True) / evened\n"
                "            g = g * (even * (kept * max(1, R / C)).sqrt())\n",
                "            g = g * max(1, R / C) ** 0.5\n",
            ),
        ),
    ),
    Idea(
        "each token sees a little of the one before it in its own embedding",
        -0.03,
        (
            (
                "            for i, (attention, mlp) in",
                "            x = x + 0.3 * F.pad(x, (0, 0, 1, 0))[:, :-1]\n"
                "            for i, (attention, mlp) in",
            ),
        ),
    ),
    Idea(
        "small embeddings at the start (0.3 instead of 1): they turn faster at the same rate",
        -0.01,
        (
            (
                "        self.embed = nn.Embedding(vocab_size, WIDTH)\n",
                "        self.embed = nn.Embedding(vocab_size, WIDTH)\n"
                "        nn.init.normal_(self.embed.weight, std=0.3)\n",
            ),
        ),
    ),
    Idea(
        "gradients cut to norm 1: calmer first steps",
        0.0,
        (
            (
                "        for optimizer in steppers:\n            schedule",
                "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
                "        for optimizer in steppers:\n            schedule",
            ),
        ),
    ),
    Idea(
        "AdamW with the usual betas 0.9 and 0.95",
        0.005,
        (("BETAS = (0.8, 0.95)", "BETAS = (0.9, 0.95)"),),
    ),
    Idea(
        "the x0 scales begin at 0: is the shortcut to the embedding worth it?",
        0.01,
        (("torch.full((DEPTH,), 0.1)", "torch.full((DEPTH,), 0.0)"),),
    ),
    Idea(
        "the last layer alone looks at everything, the others at an eighth",
        0.0,
        (("window_mask(T, T // 2,", "window_mask(T, T // 8,"),),
    ),
    Idea(
        "the head starts twenty times larger",
        0.01,
        (
            (
                "nn.init.normal_(self.head.weight, std=0.001)",
                "nn.init.normal_(self.head.weight, std=0.02)",
            ),
        ),
    ),
)


def edit(idea: Idea) -> Callable[[str], str]:
    """Return the function that makes an idea's changes on the best state's text."""

    def changed(text: str) -> str:
        for old, new in idea.changes:
            text = text.replace(old, new, 1)
        return text

    return changed


def applies(idea: Idea, text: str) -> bool:
    """Tell whether all that an idea changes is in `text`."""
    return all(old in text for old, _ in idea.changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path)
    parser.add_argument("--experiments", type=int, default=44)
    parser.add_argument("--bundle", type=Path)
    args = parser.parse_args()

    lab = ark.new_lab(args.lab, task="language_model", profile="smoke")
    campaign = ark.open_campaign(lab, tag="example")
    print(ark.baseline(campaign, seeds=3), flush=True)
    tried = {record.hypothesis for record in campaign.records()}
    while (n := len(campaign.records())) <= args.experiments:
        best = campaign.best.files["train.py"]
        left = [idea for idea in IDEAS if idea.hypothesis not in tried and applies(idea, best)]
        if n > TUNED_FIRST and "From here on" not in (lab.path / "program.md").read_text():
            with (lab.path / "program.md").open("a") as page:
                page.write(CODE_NEXT)
        if left and n > TUNED_FIRST and n % 2 == 0:
            idea = left[0]
            tried.add(idea.hypothesis)
            by = ark.Human(edit=edit(idea), hypothesis=idea.hypothesis, guess=idea.guess)
            proposal = ark.propose(campaign, by=by)
        else:
            proposal = ark.propose(campaign, by=ark.TPE())
        if proposal.status == "open" and "\n+DEPTH = 8" in proposal.diff:
            proposal.refuse("eight layers see too few tokens in 20 seconds; a deeper model later")
            continue
        if proposal.status == "open":
            proposal.approve()
        print(ark.score(ark.train_5min(ark.apply(proposal))), flush=True)
    print(ark.audit(campaign), flush=True)
    if args.bundle:
        ark.export(campaign, args.bundle)


if __name__ == "__main__":
    main()
