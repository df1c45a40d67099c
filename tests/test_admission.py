"""What can't become an experiment: refused before a number is taken or a second is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import admission, git, ledger, patch, proposal
from autoresearch_kit.errors import Duplicate, NoChange, ProposalError

TRAIN = '''\
"""Fit."""
import os

SEED = 3
LR = 0.1
TABLE = {table}


def step(x):
    return x - LR * x


print("val_loss:", step(1.0))
'''.replace("{table}", str([f"{n:05d}" for n in range(200)]))
LONG = "x" * 1_001


@pytest.fixture
def campaign(make_host) -> ark.Campaign:
    host = make_host(
        {"train.py": TRAIN, "conf.toml": "lr = 0.1\nseed = 1\n", "other.py": "y = 1\n"}
    )
    return ark.open_campaign(
        host,
        tag="a",
        edit=["train.py", "conf.toml"],
        train="python train.py",
        metric="val_loss",
        goal="minimize",
    )


def draft(campaign: ark.Campaign, old: str, new: str, path: str = "train.py") -> proposal.Proposal:
    before = campaign.best.files[path]
    assert old in before
    return proposal.draft(
        campaign, files={path: before.replace(old, new, 1)}, hypothesis="try", author="t"
    )


def added(campaign: ark.Campaign, code: str) -> proposal.Proposal:
    return draft(campaign, "\n\ndef step", f"\n{code}\n\n\ndef step")


REFUSED = {
    "exec": ("exec('x = 1')", "calls exec()", "dynamic"),
    "a decoder": ("import base64\nx = base64.b64decode('aGk=')", "base64.b64decode()", "dynamic"),
    "a compiled function": ("x = compile('1', '', 'eval')", "calls compile()", "dynamic"),
    "pickles": ("import pickle", "imports pickle", "dynamic"),
    "marshal": ("from marshal import load", "imports marshal", "dynamic"),
    "its own text": ("x = len(__file__)", "uses __file__", "dynamic"),
    "a string": (f"X = {LONG!r}", "holds a literal of about 1,001 bytes", "literal"),
    "bytes": (f"X = {LONG.encode()!r}", "holds a literal of about 1,001 bytes", "literal"),
    "numbers": (f"X = {list(range(1000, 1300))}", "holds a literal of about", "literal"),
    "a long patch": ("LR = LR + 0.0\n" * 1_500, "The patch adds", "size"),
    "a socket": ("import socket", "imports socket", "network"),
    "an address": ("X = 'https://example.org/w'", "names 'https://example.org/w'", "network"),
    "a path outside": ("x = open('/etc/passwd')", "names '/etc/passwd'", "paths"),
    "a folder above": ("x = open('../other/metric')", "names '../other/metric'", "paths"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_patch_that_adds_what_nobody_can_judge_is_refused(campaign, name: str):
    code, says, kind = REFUSED[name]
    with pytest.raises(ProposalError) as caught:
        added(campaign, code)
    text = str(caught.value)
    assert says in text  # what and where
    assert admission.REFUSED[kind].format(n=0) in text  # what to do instead
    assert f'allow = ["{kind}"]' in text
    if kind != "size":
        assert "train.py line 8 " in text or "train.py line 9 " in text
    assert campaign.pending() == []
    assert list(ledger.pins(campaign)) == [0]


@pytest.mark.parametrize("name", REFUSED)
def test_a_task_may_allow_it(campaign, name: str):
    code, _, kind = REFUSED[name]
    task = dataclasses.replace(campaign.task, allow=(kind,))
    assert added(dataclasses.replace(campaign, task=task), code).status == "open"


def test_a_new_seed_alone_points_at_repeats(campaign):
    for path, old, new in (
        ("train.py", "SEED = 3", "SEED = 4"),
        ("conf.toml", "seed = 1", "seed = 2"),
    ):
        with pytest.raises(
            ProposalError, match=r"nothing but the seed.*ark\.repeat\(campaign, 0\)"
        ):
            draft(campaign, old, new, path)
    with pytest.raises(NoChange, match=r"ark\.repeat\(campaign, 0\)"):
        draft(campaign, "LR = 0.1", "LR = 0.1  # noise?")
    assert draft(campaign, "SEED = 3\nLR = 0.1", "SEED = 4\nLR = 0.2").status == "open"


def test_several_reasons_come_at_once_and_the_text_stays_short(campaign):
    with pytest.raises(ProposalError) as caught:
        added(campaign, "import socket\n" + "".join(f"exec('{n}')\n" for n in range(50)))
    text = str(caught.value)
    assert 'allow = ["network", "dynamic"]' in text
    assert "And 48 more" in text
    assert len(text) < 1_500


@pytest.mark.parametrize(
    "code",
    [
        "import threading",
        "x = open('log.txt', 'w')",
        "import torch\ntorch.sum = max",
        "x = os.environ.get('RUN_DIR')",
        "X = " + repr("x" * 900),
    ],
)
def test_what_honest_experiments_do_is_let_in(campaign, code: str):
    assert added(campaign, code).status == "open"


def test_what_the_parent_has_is_no_reason(make_host):
    odd = f"import socket\nX = {LONG!r}\nexec('x = 1')\nopen('/etc/hostname')\nLR = 1\n"
    host = make_host({"train.py": odd})
    contract = {"train": "python train.py", "metric": "loss", "goal": "minimize"}
    campaign = ark.open_campaign(host, tag="a", edit="train.py", **contract)
    assert draft(campaign, "LR = 1", "LR = 2").status == "open"
    with pytest.raises(ProposalError, match=r"calls exec"):
        draft(campaign, "LR = 1", "exec('x = 2')\nLR = 1")


def test_an_entry_that_changes_in_a_long_table_is_let_in(campaign):
    assert draft(campaign, "'00007'", "'70000'").status == "open"


def test_a_person_is_held_to_the_same(campaign, monkeypatch):
    host = campaign.path
    (host / "train.py").write_text(TRAIN.replace("LR = 0.1", "LR = 0.1\nexec('')"))
    with pytest.raises(ProposalError, match=r"calls exec\(\).*allow = "):
        ark.Human()(campaign)
    mine = draft(campaign, "LR = 0.1", "LR = 0.2")
    edited = mine.files["train.py"].replace("LR = 0.2", "LR = 0.2\nexec('')")
    with pytest.raises(ProposalError, match=r"calls exec\(\)"):
        mine.approve(files={"train.py": edited})
    assert mine.status == "open"


def test_every_kind_is_either_refused_or_shown():
    assert admission.REFUSED.keys() | admission.SHOWN.keys() == patch.KINDS.keys()
    assert not admission.REFUSED.keys() & admission.SHOWN.keys()


def test_the_shipped_template_would_be_admitted(make_host):
    template = Path(ark.__file__).parent / "tasks/language_model/template/train.py"
    concerns = patch.warnings({"train.py": ""}, {"train.py": template.read_text()}, ["train.py"])
    assert [c for c in concerns if c.kind in admission.REFUSED] == []


def test_a_file_that_may_not_change_is_named(campaign):
    with pytest.raises(ProposalError, match=r"changes 'other\.py'.*train\.py, conf\.toml"):
        proposal.draft(campaign, files={"other.py": "y = 2\n"}, hypothesis="x", author="t")
    assert git.resolve(campaign.path, "refs/autoresearch/a/0001") is None


def test_what_is_proposed_already_is_found_where_the_words_say(campaign):
    ark.baseline(campaign)
    first = draft(campaign, "LR = 0.1", "LR = 0.2")
    with pytest.raises(Duplicate, match=r"\(open, by t\)\. Look at it with ark\.review\("):
        draft(campaign, "LR = 0.1", "LR = 0.2")
    first.approve()
    assert campaign.pending() == []
    with pytest.raises(Duplicate, match=r"\(approved, by t\)\. It waits for its run"):
        draft(campaign, "LR = 0.1", "LR = 0.2")
