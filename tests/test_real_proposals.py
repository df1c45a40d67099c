"""Proposals by a real model on a real server: it writes nonsense, and the loop has to bear it.

Slow, because 135 million parameters on one core read a prompt of 1,500 tokens in seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, git, progress, traits
from tests import nightly as n
from tests.real_model import real_model

ROOM = 4_096
NONSENSE = (errors.ReplyError, errors.EndpointError, errors.Duplicate, errors.NoChange)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with real_model(ROOM) as url:
        yield url


def memory_of(campaign: ark.Campaign, url: str) -> traits.Traits:
    memory = git.common_dir(campaign.path) / "autoresearch" / "models.json"
    return traits.read(memory, url, "smollm2")


def model(url: str, prompt_tokens: int = 3_000) -> ark.LLM:
    options = {"temperature": 0}
    return ark.LLM(base_url=url, max_tokens=40, prompt_tokens=prompt_tokens, options=options)


@pytest.mark.acceptance
def test_nonsense_is_repaired_asked_for_as_a_whole_file_and_given_up(nightly, url: str):
    heard: list[str] = []
    by = model(url)
    with progress.listening(heard.append):
        try:
            made = ark.propose(nightly, by=by)
        except NONSENSE:
            made = None
    tries = 1 + "".join(heard).count("[asked to try again")
    assert made is not None or tries == 4
    known = memory_of(nightly, url)
    assert known.ratio is not None  # it counted our tokens
    assert known.seen is not None
    assert known.seen > 1_000
    if made is None:  # and the next proposal pays for it
        key = f"cell|{by!r}|"
        lost = ark.proposers.submission.lost(nightly, key)
        assert lost["tokens"] > 4 * 1_000


@pytest.mark.acceptance
def test_a_prompt_over_the_context_is_made_shorter(nightly, url: str):
    sections = {"What others think": "It is a matter of taste and of patience.\n" * 600}
    with contextlib.suppress(*NONSENSE):  # that it answers is the point, not what
        model(url, prompt_tokens=9_000)(nightly, sections=sections)
    known = memory_of(nightly, url)
    assert known.context == ROOM
    assert known.seen is not None
    assert known.seen < ROOM


@pytest.mark.acceptance
def test_a_hybrid_night_with_a_real_model(nightly, url: str):
    by = ark.Hybrid(model(url), ark.TPE(), share=0.2)  # one turn of the six
    night = ark.overnight(nightly, by=by, approve="everything", experiments=6)
    last = n.ended(night, 240)
    assert last["phase"] == "finished", last["reason"]
    made = n.decided(nightly, night)
    assert len(made) == 6
    assert n.parents_are_right(nightly)
    assert all(record.proposal["tokens"] >= 0 for record in made)
    assert sum(record.proposal["tokens"] for record in made) > 1_000  # the model was asked
    assert n.quiet(night.dir)
