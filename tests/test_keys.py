"""API keys stay in the process that needs them: not in files, logs, git or other processes."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoresearch_kit as ark
from autoresearch_kit import callables, files, keys
from autoresearch_kit import git as kit
from autoresearch_kit.errors import EndpointError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers.llm import LLM
from tests import nightly as n
from tests.llm_server import Asked, Status, llm_server
from tests.test_kills import CHECK, TRAIN

SECRET = (
    "OPENAI_API_KEY openai_api_key ANTHROPIC_API_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY "
    "AWS_SESSION_TOKEN HF_TOKEN HUGGING_FACE_HUB_TOKEN GH_TOKEN GITHUB_PAT PGPASSWORD MYSQL_PWD "
    "SMTP_PASS MYAPIKEY GOOGLE_APPLICATION_CREDENTIALS SSH_PRIVATE_KEY NPM_AUTH GPG_PASSPHRASE"
)
PLAIN = (
    "PATH HOME PWD OLDPWD LANG TOKENIZERS_PARALLELISM MAX_TOKENS SSH_AUTH_SOCK GIT_ASKPASS "
    "XAUTHORITY OPENAI_BASE_URL GNOME_KEYRING_CONTROL KEYBOARD MONKEY PATTERN COMPASS_HOME"
)

SCORED = {
    "edit": "train.py",
    "train": f"{sys.executable} train.py",
    "score": f"{sys.executable} check.py",
    "metric": "distance",
    "goal": "minimize",
    "decide": "greedy",
}


def test_variables_with_keys_are_known_by_their_names() -> None:
    secret, plain = SECRET.split(), PLAIN.split()
    environ = dict.fromkeys([*secret, *plain], "x")
    assert keys.names(environ) == sorted(secret)
    assert list(keys.without(environ)) == plain
    assert list(keys.without(environ, but=["HF_TOKEN"])) == ["HF_TOKEN", *plain]


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        ("wrong key hunter2-hunter2.", "wrong key $ROBOT_API_KEY."),
        ("hunter2-hunter2-more", "$OTHER_TOKEN"),
        ("short", "short"),
        ("told-by-its-user", "(key)"),
        ("Incorrect API key: sk-proj-Ab3_dEf4hIjKlMnOp", "Incorrect API key: (key)"),
        ("{'Authorization': 'Bearer abcd1234efgh5678'}", "{'Authorization': 'Bearer (key)'}"),
        ('"x-api-key": "abcd1234efgh5678"', '"x-api-key": "(key)"'),
        ("GET https://me:pa55word@host/v1?x=1", "GET https://me:(key)@host/v1?x=1"),
        ("https://abcdefghijklmnopqrst@github.com/x", "https://(key)@github.com/x"),
        ("client = OpenAI(api_key=self.key, timeout=30)", None),
        ("the sk-learn-compatible-estimators at http://host:8000/a@b", None),
    ],
)
def test_keys_in_words_are_replaced(
    words: str, clean: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_API_KEY", "hunter2-hunter2")
    monkeypatch.setenv("OTHER_TOKEN", "hunter2-hunter2-more")
    monkeypatch.setenv("SMALL_SECRET", "short")
    keys.remember("told-by-its-user")
    assert keys.redact(words) == (clean or words)
    assert keys.within(words) == (clean not in (None, words))


@given(st.text(), st.text())
def test_a_known_key_never_gets_through(before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOT_API_KEY", "hunter2-hunter2")
        stream = io.StringIO()
        print(f"{before}hunter2-hunter2{after}", file=keys.Redacted(stream))
        assert "hunter2-hunter2" not in stream.getvalue()


@dataclasses.dataclass(frozen=True)
class Careless:
    """Says a key in every way there is, fails once with it, and then proposes."""

    by: Any = None

    def __call__(
        self, campaign: ark.Campaign, *, idea: Any = None, revises: Any = None
    ) -> Proposal:
        key = os.environ["OPENAI_API_KEY"]
        print("my key is", key, {"Authorization": f"Bearer {key}"})
        print(key, file=sys.stderr, flush=True)
        mark = campaign.state / "failed-once"
        if not mark.exists():
            mark.touch()
            raise ValueError(f"401: {key} is wrong")
        text = campaign.best.files["train.py"].replace("WIDTH = 64", "WIDTH = 65")
        return ark.Human(edit=text)(campaign)


@dataclasses.dataclass(frozen=True)
class Holding:
    """A proposer of somebody's own that holds its key."""

    key: str

    def __call__(self, campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Any:
        raise ValueError(f"{self.key} is wrong")


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    value = "canary-" + os.urandom(8).hex()
    monkeypatch.setenv("OPENAI_API_KEY", value)
    monkeypatch.setenv("GH_TOKEN", value)
    return value


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which programs that the kit calls note their environments."""
    folder, programs = tmp_path / "noted", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    for name in ("git", "rm", "systemd-inhibit"):
        real = shutil.which(name) or "/bin/false"
        (programs / name).write_text(f'#!/bin/sh\nexport -p >>{folder}/{name}\nexec {real} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def seen() -> Iterator[dict[str, str]]:
    """Return command line → environment of all processes that descend from this one."""
    found: dict[str, str] = {}
    over = threading.Event()
    mine = psutil.Process()

    def look() -> None:
        while not over.wait(0.05):
            for process in mine.children(recursive=True):
                try:
                    words = " ".join(process.cmdline())
                    environ = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
                    # Between fork and exec a child is still its parent.
                    if words and process.cmdline() != psutil.Process(process.ppid()).cmdline():
                        found[words] = environ
                except (psutil.Error, OSError):
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    yield found
    over.set()
    thread.join()


def everything(host: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all files of a lab and all objects of its repository, unpacked."""
    for path in host.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    objects = kit.call(host, "cat-file", "--batch-all-objects", "--batch")
    yield "objects", objects
    assert b"WIDTH = 65" in objects


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_canary_key_is_nowhere_after_an_experiment_and_a_night(
    make_host, canary: str, noted: Path, seen: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    host = make_host({"train.py": TRAIN, "check.py": CHECK})
    (noted / "git").unlink()  # so far it was called by this test itself
    seen.clear()
    campaign = ark.open_campaign(host, tag="keys", **SCORED)
    ark.baseline(campaign)
    proposal = ark.propose(campaign, by=ark.TPE())
    score = ark.score(ark.train_5min(ark.apply(proposal.approve())))
    night = ark.overnight(campaign, by=Careless(), approve="everything", experiments=1)
    n.ended(night)
    assert len(n.decided(campaign, night)) == 1
    log = (night.dir / "log.txt").read_text()
    assert log.count("my key is $") == 2  # the proposer did say it
    assert "ValueError: 401: $" in log
    kit.call(host, "gc", "--quiet")  # what is packed is looked at too
    files.remove_tree(host / "absent")

    shown = [campaign, proposal, score, night, ark.history(campaign).to_csv()]
    pages = [page() for one in shown if (page := getattr(one, "_repr_html_", None))]
    assert canary not in " ".join(map(str, [*shown, *pages, *capfd.readouterr()]))
    assert [name for name, data in everything(host) if canary.encode() in data] == []
    for name in ("git", "rm", "systemd-inhibit"):
        environment = (noted / name).read_text()
        assert "HOME=" in environment
        assert canary not in environment, name

    holders = {words for words, environ in seen.items() if canary in environ}
    assert {words for words in holders if "autoresearch_kit.shift" not in words} == set()
    assert any("autoresearch_kit.shift" in words for words in holders)  # it has to ask a model
    for part in ("supervisor train", "supervisor score", "train.py", "check.py"):
        assert any(part in words for words in seen), part
    assert not any(canary in words for words in seen)


REPLY = """\
You sent me {key}.
<hypothesis>Wider, by the grace of {key}.</hypothesis>
train.py
<<<<<<< SEARCH
WIDTH = 64  # search: 1 to 100000
=======
WIDTH = 65{more}
>>>>>>> REPLACE
"""


def sent(asked: Asked) -> str:
    """Return the header with the key."""
    return {name.lower(): value for name, value in asked.headers.items()}["authorization"]


@pytest.mark.parametrize("given", [True, False], ids=["api_key=", "environment"])
def test_a_key_that_a_server_sends_back_is_nowhere(
    make_host, canary: str, given: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    host = make_host({"train.py": TRAIN, "check.py": CHECK})
    campaign = ark.open_campaign(host, tag="keys", **SCORED)
    ark.baseline(campaign)
    key = "passed-as-an-argument" if given else canary
    wrong = Status(401, f"Incorrect API key provided: {key}")
    leak = REPLY.format(key=key, more=f"  # {key}")
    with llm_server(wrong, leak, REPLY.format(key=key, more="")) as server:
        by = LLM("tiny", server.url, api_key=key if given else None)
        with pytest.raises(EndpointError) as caught:
            ark.propose(campaign, by=by)
        proposal = ark.propose(campaign, by=by)
        assert {sent(asked) for asked in server.asked} == {f"Bearer {key}"}
    name = "(key)" if given else "$OPENAI_API_KEY"
    assert proposal.hypothesis == f"Wider, by the grace of {name}."
    assert proposal.rejected == 1
    ark.score(ark.train_5min(ark.apply(proposal.approve())))
    shown = [caught.value, proposal, by, *proposal.attachments().values(), *capfd.readouterr()]
    assert key not in "".join(map(str, shown))
    assert [name for name, data in everything(host) if key.encode() in data] == []


def test_a_night_has_the_key_and_its_folder_has_not(nightly, canary: str) -> None:
    reply = REPLY.format(key="nothing", more="").replace("train.py", "fit.py")
    reply = re.sub("WIDTH = 64.*", "B = 5", reply).replace("WIDTH = 65", "B = 4")
    with llm_server(reply) as server:
        by = LLM("tiny", server.url)
        night = ark.overnight(nightly, by=by, approve="everything", experiments=1)
        n.ended(night)
        assert [sent(asked) for asked in server.asked] == [f"Bearer {canary}"]
    assert [record.status for record in n.decided(nightly, night)] == ["keep"]
    assert (night.dir / "by.pickle").exists()
    left = [p for p in nightly.path.rglob("*") if p.is_file() and canary.encode() in p.read_bytes()]
    assert left == []


def test_a_run_sees_a_key_that_its_task_names(make_host, canary: str) -> None:
    script = "import os\nprint('loss:', len(os.environ.get('OPENAI_API_KEY', '')))\n"
    host = make_host({"train.py": f"A = 1\n{script}"})
    task = {"edit": "train.py", "train": "python train.py", "metric": "loss", "goal": "minimize"}
    assert ark.baseline(ark.open_campaign(host, tag="without", **task)).value == 0
    named = ark.open_campaign(host, tag="named", env=["OPENAI_API_KEY"], **task)
    assert ark.baseline(named).value == len(canary)


def test_what_holds_a_key_stays_in_its_kernel(nightly, canary: str) -> None:
    assert callables.pack(Careless()) is not None
    assert callables.pack(Holding(canary)) is None
    assert callables.pack(Holding("sk-proj-Ab3_dEf4hIjKlMnOp")) is None
    night = ark.overnight(nightly, by=Holding(canary), approve="everything", failures=1)
    n.ended(night)
    assert not (night.dir / "by.pickle").exists()
    assert "$" in night.state["reason"]
    left = [p for p in nightly.path.rglob("*") if p.is_file() and canary.encode() in p.read_bytes()]
    assert left == []
    assert files.read_table(night.dir / "night.json")["lent"] == ["by"]
