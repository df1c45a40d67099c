"""Coding agents as proposers; the agents are small scripts, all else is real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import progress, sandbox
from autoresearch_kit.errors import Duplicate, NoChange, PatchConflict, ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import command
from autoresearch_kit.proposers.agents import found
from autoresearch_kit.proposers.command import Command
from tests import nightly as n
from tests.conftest import git
from tests.test_sandbox import needs_sandbox, running, wait_for

BOXED = pytest.param(True, id="boxed", marks=needs_sandbox)
both = pytest.mark.parametrize("boxed", [BOXED, pytest.param(False, id="plain")], indirect=True)

BETTER = "sed -i 's/^B = 5/B = 4/' fit.py"
DAEMON = "(setsid sh -c 'sleep 1000; :' {mark} >/dev/null 2>&1 &)"
HANG = "exec sh -c 'sleep 1000; :' {mark}"


@pytest.fixture
def boxed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether bubblewrap works here; where it shouldn't, it is as if it were missing."""
    if not request.param:
        monkeypatch.setattr(sandbox, "unavailable", lambda: "not wanted in this test")
    return bool(request.param)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Command]:
    """Return a function that makes an agent of a shell script."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def make(script: str, arguments: str = "{prompt_file}", **options: Any) -> Command:
        program = tmp_path / "bin" / "robot"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Command(f"{program} {arguments}", **options)

    return make


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> Iterator[str]:
    """An argument to find a test's processes by."""
    text = f"mark-{os.getpid()}-{request.node.name}"
    yield text
    for pid in running(text):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def attached(proposal: Proposal, name: str) -> str:
    return proposal.attachments()[name].decode()


@both
def test_what_an_agent_edits_becomes_the_proposal(nightly, agent, boxed: bool) -> None:
    by = agent(
        f"{BETTER}; git diff; ls -A; cat .autoresearch/ledger.tsv; cat > HYPOTHESIS.md <<END\n"
        "<hypothesis>A smaller B is a smaller loss.</hypothesis>\n<expected>-1</expected>\nEND\n"
        "git commit -qam 'my change' && git log --format=%s"
    )
    proposal = ark.propose(nightly, by=by, idea="something with B")
    assert proposal.files["fit.py"] == nightly.best.files["fit.py"].replace("B = 5", "B = 4")
    assert proposal.hypothesis == "A smaller B is a smaller loss."
    assert (proposal.expected, proposal.author) == (-1.0, "robot")
    assert (proposal.cost.keys(), proposal.rejected) == ({"seconds"}, 0)
    assert "something with B" in attached(proposal, "prompt.md")
    reply = attached(proposal, "reply.md")
    assert reply.count("diff --git") == 1  # neither the prompt nor the ledger is in it
    assert "0000\tkeep" in reply
    assert "my change\nThe best state of n: experiment 0000\n" in reply
    assert ".git\n" in reply
    score = ark.score(ark.train_5min(ark.apply(proposal.approve())))
    assert score.status == "keep"
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_other_changes_are_dropped_and_named(nightly, agent) -> None:
    script = (
        f"{BETTER}; echo x > helper.py; mkdir -p new/deep __pycache__; touch new/deep/x; "
        "touch __pycache__/fit.pyc; rm task.toml; git add -A; git commit -qm all; echo Done."
    )
    proposal = ark.propose(nightly, by=agent(script))
    named = "[dropped, not mutable: helper.py, new/, task.toml]"
    assert proposal.hypothesis == f"Done. {named}"
    assert named in attached(proposal, "reply.md")
    assert list(proposal.files) == ["fit.py"]


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("echo thinking; echo I give up", NoChange, r"left fit.py as it is.*\n.*I give up"),
        ("sed -i 's/^A = 5/# no\\nA = 5/' fit.py", NoChange, "comments"),
        (f"{BETTER}; echo 429 >&2; exit 3", ProposalError, r"exit status 3.*not used.*429"),
        ("rm fit.py", ProposalError, "no fit.py that could be read"),
        ("ln -sf /etc/passwd fit.py", ProposalError, "no fit.py that could be read"),
        ("rm fit.py; mkfifo fit.py", ProposalError, "not a regular file"),
        ("head -c 5000 /dev/urandom > fit.py", ProposalError, "no UTF-8 text"),
        ("printf 'A = 1\\0' >> fit.py", ProposalError, "zero byte"),
        ("echo 'A = (' >> fit.py", ProposalError, "fit.py"),
        ("yes | head -c 9000000 > fit.py", ProposalError, "larger than 200000 bytes"),
        ("exec robbot", ProposalError, "exit status 127.*is it installed"),
    ],
)
def test_what_is_no_proposal_is_an_error_that_says_why(
    nightly, agent, script: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        ark.propose(nightly, by=agent(script))
    assert nightly.pending() == []


def test_a_failed_try_is_counted_with_the_next_proposal(nightly, agent) -> None:
    by = agent("rm fit.py; echo '{\"total_cost_usd\": 0.5}'")
    with pytest.raises(ProposalError):
        ark.propose(nightly, by=by)
    again = ark.propose(nightly, by=agent(f"{BETTER}; echo '{{\"total_cost_usd\": 0.25}}'"))
    assert (again.rejected, again.cost["money"]) == (1, 0.75)


def test_a_folder_that_is_a_link_is_not_followed(make_host, agent, contract, tmp_path) -> None:
    from tests.conftest import PRINTED

    host = make_host({"src/fit.py": PRINTED})
    task = {**contract, "edit": "src/fit.py", "train": f"{sys.executable} src/fit.py"}
    campaign = ark.open_campaign(host, tag="links", **task)
    ark.baseline(campaign)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fit.py").write_text("print('val_loss: 0')\n")
    with pytest.raises(ProposalError, match="its folder is a link"):
        ark.propose(campaign, by=agent(f"rm -r src; ln -s {elsewhere} src"))


def test_a_change_that_was_tried_is_refused_with_its_result(nightly, agent) -> None:
    ark.propose(nightly, by=agent(BETTER)).refuse("not now")
    with pytest.raises(Duplicate, match="0001"):
        ark.propose(nightly, by=agent(BETTER))


@both
def test_an_agent_that_hangs_is_ended_with_all_it_started(
    nightly, agent, boxed: bool, mark: str
) -> None:
    script = f"{BETTER}; {DAEMON.format(mark=mark)}; echo started; {HANG.format(mark=mark)}"
    words = r"(?s)0\.02 minutes and was ended.*minutes=0\.04.*started"
    with pytest.raises(ProposalError, match=words):
        ark.propose(nightly, by=agent(script, minutes=0.02))
    assert running(mark) == []


@both
def test_daemons_of_an_agent_end_with_it(nightly, agent, boxed: bool, mark: str) -> None:
    # The second one holds the output open.
    script = (
        f"{DAEMON.format(mark=mark)}; setsid sh -c 'sleep 1000; :' {mark} & sleep 0.2; {BETTER}"
    )
    ark.propose(nightly, by=agent(script))
    wait_for(lambda: running(mark) == [], "the end of the daemons")


CALLER = """\
import sys
import autoresearch_kit as ark
from autoresearch_kit import sandbox
from autoresearch_kit.proposers.command import Command
if sys.argv[3] == "False":
    sandbox.unavailable = lambda: "not wanted"
campaign = ark.open_campaign(sys.argv[1], tag="n")
ark.propose(campaign, by=Command(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("boxed", "how"),
    [
        pytest.param(True, signal.SIGINT, id="boxed-interrupted", marks=needs_sandbox),
        pytest.param(True, signal.SIGKILL, id="boxed-killed", marks=needs_sandbox),
        pytest.param(False, signal.SIGKILL, id="plain-killed"),
    ],
    indirect=["boxed"],
)
def test_an_agent_does_not_outlive_its_caller(
    nightly, agent, boxed: bool, mark: str, how: signal.Signals
) -> None:
    script = f"{DAEMON.format(mark=mark)}; {HANG.format(mark=mark)}"
    words = [sys.executable, "-c", CALLER, str(nightly.path), agent(script).command, str(boxed)]
    root = Path(__file__).parents[1]
    caller = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=root)
    wait_for(lambda: len(running(mark)) >= 2, "agent and daemon")
    caller.send_signal(how)
    said = caller.communicate(timeout=30)[1]
    assert caller.returncode == -how, said
    wait_for(lambda: running(mark) == [], "the end of the agent")
    left = list(Path(tempfile.gettempdir()).iterdir())
    assert len(left) == (how == signal.SIGKILL)
    for folder in left:
        os.utime(folder, (0, 0))
    ark.propose(nightly, by=agent(BETTER))
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_output_without_end_stays_small(nightly, agent) -> None:
    said: list[str] = []
    script = (
        "printf '\\033[1mbold\\033[0m\\n'; yes 0123456789 | head -c 50000000; "
        f"echo the end >&2; sleep 0.1; {BETTER}"
    )
    with progress.listening(said.append):
        proposal = ark.propose(nightly, by=agent(script))
    assert said[0].startswith("bold\n")
    assert sum(map(len, said)) < 10_000_000
    reply = attached(proposal, "reply.md")
    assert len(reply) < 70_000
    assert "the end\n" in reply


@both
def test_keys_reach_an_agent_only_when_they_are_named(
    nightly, agent, boxed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-one-1234")
    monkeypatch.setenv("ROBOT_API_KEY", "canary-two-5678")
    monkeypatch.setenv("MY_NOTES", "private")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    look = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'" if boxed else "env"
    said: list[str] = []
    script = f"{look}; echo count ${{#ROBOT_API_KEY}}; {BETTER}"
    with progress.listening(said.append):
        proposal = ark.propose(nightly, by=agent(script, env=["ROBOT_API_KEY"]))
    reply = attached(proposal, "reply.md")
    assert "ROBOT_API_KEY=$ROBOT_API_KEY" in reply  # it had the key; what it printed hasn't
    assert "count 15" in reply
    assert "https_proxy=http://proxy.example:3128" in reply
    for text in (reply, "".join(said)):
        assert "canary" not in text
        assert "OPENAI_API_KEY" not in text
        assert "MY_NOTES" not in text


def test_an_agent_that_fails_without_a_key_is_told_how_to_get_one(
    nightly, agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_API_KEY", "canary-two-5678")
    with pytest.raises(ProposalError, match=r"env=\['ROBOT_API_KEY'\]"):
        ark.propose(nightly, by=agent("exit 1"))
    with pytest.raises(ProposalError, match="has no NO_SUCH_KEY"):
        ark.propose(nightly, by=agent(BETTER, env=["NO_SUCH_KEY"]))


def test_a_key_gets_neither_into_the_command_nor_into_the_code(
    nightly, agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_API_KEY", "canary-two-5678")
    with pytest.raises(ProposalError, match="the command holds a key") as caught:
        Command("robot --key canary-two-5678")
    assert "canary" not in str(caught.value)
    with pytest.raises(ProposalError, match=r"\$ROBOT_API_KEY.*names of environment variables"):
        Command("robot", env=["canary-two-5678"])
    by = agent(f"{BETTER}; echo \"KEY = '$ROBOT_API_KEY'\" >> fit.py", env="ROBOT_API_KEY")
    with pytest.raises(ProposalError, match="looks like a key"):
        ark.propose(nightly, by=by)


def test_a_placeholder_that_nothing_stands_for_is_refused() -> None:
    for name in ("promptfile", "prompt-file", "PROMPT"):
        words = rf"has \{{{name}\}}; known are \{{prompt_file\}}, .*inside: \{{ {name} \}}"
        with pytest.raises(ProposalError, match=words):
            Command(f"robot {{edit}} {{{name}}}")
    for line in ("cp x{a,b} ${HOME}", "find . -exec cat {} +", "robot | jq '{ result }'"):
        Command(line)


def test_it_shows_what_differs_from_the_defaults() -> None:
    assert repr(Command("claude -p", minutes=20)) == "Command('claude -p')"
    by = Command("claude -p", minutes=5, env=["A_KEY"])
    assert repr(by) == "Command('claude -p', minutes=5, env=('A_KEY',))"
    assert eval(repr(by)) == by


def test_an_agent_that_was_not_handed_the_prompt_is_told_of_the_file(nightly, agent) -> None:
    with pytest.raises(NoChange, match=r"as it is \(the prompt was its standard input; \{prompt_f"):
        ark.propose(nightly, by=agent("true", "{edit}"))
    with pytest.raises(NoChange, match=r"as it is\. It said last"):
        ark.propose(nightly, by=agent("true"))


SPLITS = """\
import os
from pathlib import Path
RATE = 0.5
text = Path(os.environ["DATA_DIR"], "data.txt").read_text()
print(f"loss: {RATE + len(text)}")
"""


@needs_sandbox
def test_validation_data_and_the_repository_are_hidden_from_an_agent(
    make_host, agent, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared"
    for split in ("train", "val", "test"):
        (prepared / split).mkdir(parents=True)
        (prepared / split / "data.txt").write_text(f"{split} text")
    host = make_host({"run.py": SPLITS, ".gitignore": "data\n"}, "lab")
    (host / "data").symlink_to(prepared)
    (host / ".venv" / "bin").mkdir(parents=True)
    (host / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (host / "notes.txt").write_text("private")
    campaign = ark.open_campaign(
        host,
        tag="hidden",
        edit="run.py",
        train="python run.py",
        metric="loss",
        goal="minimize",
        data="data",
    )
    ark.baseline(campaign)
    places = [prepared / "val" / "data.txt", prepared / "test" / "data.txt", host / "data" / "val"]
    places += [host / ".git" / "HEAD", host / "notes.txt", campaign.state, host / "run.py"]
    looks = "; ".join(f"ls -A {place} | grep . && echo SEEN" for place in places)
    proposal = ark.propose(
        campaign,
        by=agent(
            f"{looks}; find {tmp_path} -name data.txt; "
            "cat $DATA_DIR/data.txt; echo; cat data/train/data.txt; echo; touch $DATA_DIR/x; "
            f"touch {host}/x; touch /usr/x; {host}/.venv/bin/python run.py; "
            "sed -i 's/0.5/0.4/' run.py"
        ),
    )
    reply = attached(proposal, "reply.md")
    assert "SEEN" not in reply
    assert "val text" not in reply
    assert reply.count("train text\n") == 2
    assert reply.count("Read-only file system") == 3
    assert f"loss: {0.5 + len('train text')}" in reply
    assert "dropped" not in proposal.hypothesis


def test_the_prompt_comes_as_a_file_as_an_argument_or_as_input(
    make_host, agent, contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import PRINTED

    host = make_host({"my fit's.py": PRINTED}, "a 'host'")
    task = {**contract, "edit": "my fit's.py", "train": f'{sys.executable} "my fit\'s.py"'}
    campaign = ark.open_campaign(host, tag="prompts", **task)
    ark.baseline(campaign)
    edit = 'echo "STEPS = $1" >> "my fit\'s.py"'

    def reply(value: int, script: str, arguments: str) -> str:
        by = agent(f"{edit.replace('$1', str(value))}; {script}", arguments)
        return attached(ark.propose(campaign, by=by), "reply.md")

    assert "HYPOTHESIS.md" in reply(41, 'cat "$1"; wc -c', "{prompt_file}")
    said = reply(42, 'echo "$1"; wc -c; ls "$2"', "\"{prompt}\" '{edit}'")
    assert "HYPOTHESIS.md" in said
    assert "\n0\n" in said  # nothing to wait for
    assert said.endswith("my fit's.py\n")
    assert "HYPOTHESIS.md" in reply(43, "cat", "")
    monkeypatch.setattr(command, "LONGEST_ARGUMENT", 100)
    assert "prompt.md and do what it asks" in reply(44, 'echo "$1"', "{prompt}")


def test_what_a_json_result_says_of_tokens_and_money_is_the_cost(nightly, agent) -> None:
    usage = {"input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 20, "tier": "x"}
    text = "<hypothesis>Less is more.</hypothesis><expected>a bit</expected>"
    line = json.dumps({"result": text, "total_cost_usd": 0.25, "usage": usage})
    by = agent(f"{BETTER}; echo working >&2; echo '{line}'", "--output-format json")
    assert by.reports == {"tokens", "money"}
    proposal = ark.propose(nightly, by=by)
    assert proposal.hypothesis == "Less is more."
    assert {name: proposal.cost[name] for name in by.reports} == {"tokens": 127, "money": 0.25}
    assert proposal.expected is None
    assert agent("true").reports == set()


def test_line_endings_of_the_file_stay(make_host, agent, contract) -> None:
    from tests.conftest import PRINTED

    host = make_host({"notes.md": "x"})
    (host / "fit.py").write_bytes(PRINTED.replace("\n", "\r\n").encode())
    git(host, "add", ".")
    git(host, "commit", "-qm", "crlf")
    git(host, "config", "core.autocrlf", "true")
    campaign = ark.open_campaign(host, tag="crlf", **contract)
    ark.baseline(campaign)
    by = agent("tr -d '\\r' < fit.py | sed 's/^STEPS = 40/STEPS = 41/' > x; mv x fit.py")
    new = ark.propose(campaign, by=by).files["fit.py"]
    assert new == PRINTED.replace("STEPS = 40", "STEPS = 41").replace("\n", "\r\n")


@pytest.mark.parametrize("name", ["A", "B"])
def test_what_was_kept_while_the_agent_worked_is_not_undone(
    nightly, agent, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    listen = command._listen

    def long(*given: Any) -> Any:
        said = listen(*given)
        assert n.manual(nightly, name, 3).status == "keep"
        return said

    monkeypatch.setattr(command, "_listen", long)
    by = agent(BETTER)
    if name == "B":
        with pytest.raises(PatchConflict, match="0001, which was kept meanwhile, change"):
            ark.propose(nightly, by=by)
        return
    proposal = ark.propose(nightly, by=by)
    assert proposal.parent == 1
    assert proposal.files["fit.py"] == nightly.best.files["fit.py"].replace("B = 5", "B = 4")


def test_a_revision_and_more_sections_reach_the_prompt(nightly, agent) -> None:
    first = ark.propose(nightly, by=agent(BETTER))
    by = agent("sed -i 's/^B = 5/B = 3/' fit.py")
    (first.folder / "feedback.json").write_text(json.dumps({"feedback": "go further down"}))
    second = by(nightly, revises=first, sections={"The optimiser": "it likes small values"})
    prompt = attached(second, "prompt.md")
    assert "go further down" in prompt
    assert "it likes small values" in prompt


def test_agents_on_the_path_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found() == []
    for name in ("claude", "aider", "codex", "robot"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    calls = found()
    assert calls[0] == "ark.Command('claude -p --permission-mode acceptEdits')"
    made = [eval(call, {"ark": command}) for call in calls]
    assert [by.name for by in made] == ["claude", "codex", "aider"]
    assert "MODE" not in "".join(calls)


def test_a_night_ends_its_agent(nightly, agent, mark: str) -> None:
    script = f"{DAEMON.format(mark=mark)}; {HANG.format(mark=mark)}"
    night = ark.overnight(nightly, by=agent(script), approve="everything", experiments=1)
    wait_for(lambda: len(running(mark)) >= 2, "agent and daemon")
    night.stop(now=True)
    began = time.monotonic()
    wait_for(lambda: running(mark) == [], "the end of the agent")
    assert time.monotonic() - began < 20
