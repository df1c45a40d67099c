"""Any coding agent as the proposer: a shell command that edits files in a scratch checkout.

It gets a copy of the best state in a fresh repository, the prompt and what was tried. What it made
of the mutable files becomes the proposal; the copy is thrown away.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import selectors
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, keys, progress, records, sandbox, texts, workplace
from autoresearch_kit.errors import NoChange, ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import prompt as prompts
from autoresearch_kit.proposers import submission
from autoresearch_kit.proposers.checkout import Checkout, scratch

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

KEPT = 60_000  # characters of its output that stay with the experiment
READ = 1_000_000  # bytes of its output that are looked at
SAID = 8_000  # bytes that are passed on at a time; who prints more is not read along anyway
LONGEST_ARGUMENT = 100_000  # bytes; Linux takes 131,071 in one argument

_PLACE = r"""(?P<quote>["']?)\{(?P<name>prompt_file|prompt|edit)\}(?P=quote)"""

# Of a shell are {a,b} and ${A}, of awk and jq { print }.
_NAMED = r"(?<!\$)\{([A-Za-z_][\w-]*)\}"

_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TERM|COLORTERM|TZ|TMPDIR|XDG_\w+"
    r"|DBUS_SESSION_BUS_ADDRESS|\w+_PROXY|SSL_CERT_(FILE|DIR)|\w+_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
)
"""What every program needs on this machine; all else an agent has to be given by name."""


@dataclasses.dataclass(frozen=True)
class Command:
    """Let a coding agent make the change, in a checkout of its own.

    Parameters
    ----------
    command
        A shell command. In it ``{prompt_file}`` stands for the file with the prompt, ``{prompt}``
        for its text as one argument, ``{edit}`` for the mutable files. Without the first two the
        prompt is its standard input.
    minutes
        How long it may take.
    env
        Names of environment variables that it gets beside PATH, HOME, LANG, TERM, proxies and the
        like: its key (``["ANTHROPIC_API_KEY"]``), or a setting of its own.
    prompt_tokens
        Bound of the prompt in tokens.

    Raises
    ------
    NoChange
        When the mutable files stay as they are.
    ProposalError
        When it fails, takes too long, or leaves a mutable file that is no text.

    Notes
    -----
    Where bubblewrap works, the repository with its ``.git``, the campaign's state, validation and
    test data and all other processes are hidden from it, and it writes only into its checkout, the
    home and /tmp. Elsewhere nothing is hidden, and it could read the keys of this process. In both
    cases all that it started ends with it. It has the network: public data it could download.

    Changes of other files are dropped and named in the hypothesis, for a patch that needs them
    can't work. Tokens and money are known where the last line of the output is a JSON object with
    ``usage`` and ``total_cost_usd``, as ``claude -p --output-format json`` prints it.
    """

    command: str
    _: dataclasses.KW_ONLY
    minutes: float = 20.0
    env: Sequence[str] = ()
    prompt_tokens: int = 24_000

    def __post_init__(self) -> None:
        names = (self.env,) if isinstance(self.env, str) else tuple(self.env)
        object.__setattr__(self, "env", names)
        if not self.command.strip():
            raise ProposalError("the command is empty; such as ark.Command('claude -p')")
        if unknown := {*re.findall(_NAMED, self.command)} - {"prompt_file", "prompt", "edit"}:
            name = min(unknown)
            raise ProposalError(
                f"the command has {{{name}}}; known are {{prompt_file}}, {{prompt}} and {{edit}}. "
                f"If the braces are meant for a program, put spaces inside: {{ {name} }}"
            )
        if keys.within(self.command):
            raise ProposalError(
                "the command holds a key, which `ps`, the night's folder and the history would "
                "show. Put it into an environment variable and name that: "
                "ark.Command(..., env=['ANTHROPIC_API_KEY'])"
            )
        if wrong := [name for name in names if not re.fullmatch(r"[A-Za-z_]\w*", name)]:
            raise ProposalError(
                f"env= names {keys.redact(wrong[0])!r}; expected names of environment variables, "
                "such as env=['ANTHROPIC_API_KEY']; their values come from this process"
            )
        if not self.minutes > 0:
            raise ProposalError(f"minutes={self.minutes!r}; expected more than 0")

    def __repr__(self) -> str:
        """Return what differs from the defaults."""
        told = [repr(self.command)]
        told += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return f"Command({', '.join(told)})"

    @property
    def name(self) -> str:
        """The program's name."""
        words = [w for w in self.command.split() if not re.match(r"\w+=", w)]
        return Path(words[0].strip("'\"")).name if words else "command"

    @property
    def _takes_prompt(self) -> bool:
        return any(place["name"] != "edit" for place in re.finditer(_PLACE, self.command))

    @property
    def reports(self) -> set[str]:
        """What a proposal's `cost` will say, as far as the command tells."""
        tells = re.search(r"output-format[ =]\S*json", self.command)
        return {"tokens", "money"} if tells else set()

    def __call__(
        self,
        campaign: Campaign,
        *,
        idea: str | None = None,
        revises: Proposal | None = None,
        sections: Mapping[str, str] | None = None,
    ) -> Proposal:
        """Store what the agent changed as a proposal on the campaign's best state."""
        with progress.streaming(f"{self.name} proposes"), scratch() as place:
            checkout = Checkout(campaign, place)
            prompt = prompts.build(
                campaign,
                format=checkout.instructions(),
                budget=self.prompt_tokens,
                idea=idea,
                revises=revises,
                sections=sections or {},
            )
            return self._propose(campaign, checkout, texts.shown(prompt.text).replace("\0", ""))

    def _propose(self, campaign: Campaign, checkout: Checkout, prompt: str) -> Proposal:
        checkout.seal(prompt)
        said = self._run(checkout, prompt)
        try:
            said.check(self)
            changed = checkout.changed(self.name)
            if not changed:
                hint = "the prompt was its standard input; {prompt_file} hands it over as a file"
                raise NoChange(
                    f"{self.name} left {', '.join(campaign.task.edit)} as it is"
                    f"{'' if self._takes_prompt else f' ({hint})'}. It said last:\n"
                    f"{said.last()}{_unnamed(self.env)}"
                )
            idea = _Idea.read(checkout.hypothesis(), said.answer)
            dropped = checkout.dropped()
            if dropped:
                progress.say(f"\n{dropped}\n")
            words = idea.hypothesis or f"{self.name} changed {', '.join(changed)}"
            words = records.clean(keys.redact(words), 1_500)  # what was dropped has to follow
            return submission.submit(
                campaign,
                files=changed,
                hypothesis=f"{words} {dropped}".strip(),
                author=self.name,
                expected=idea.expected,
                again=keys.redact(idea.again),
                cost=said.cost,
                attachments={"prompt.md": prompt, "reply.md": said.document(self.command, dropped)},
                parent=checkout.best,
            )
        except ProposalError:
            submission.fail(campaign, said.cost, 1)
            raise

    def _run(self, checkout: Checkout, prompt: str) -> _Said:
        """Run the command to its end, or to that of its time; nothing of it is left then."""
        missing = [name for name in self.env if name not in os.environ]
        if missing:
            raise ProposalError(
                f"the environment has no {missing[0]}, which env= names; export it where this "
                "kernel is started, or leave it out",
                "lasting",
            )
        file = shlex.quote(str(checkout.prompt_file))
        fits = len(prompt.encode()) <= LONGEST_ARGUMENT
        instead = shlex.quote(f"Read {checkout.prompt_file} and do what it asks for.")
        words = {
            "prompt_file": file,
            "prompt": f'"$(cat {file})"' if fits else instead,
            "edit": shlex.join(checkout.campaign.task.edit),
        }
        # With the quotes that somebody may have put around it.
        line = re.sub(_PLACE, lambda found: words[found["name"]], self.command)
        passed = {n: v for n, v in os.environ.items() if _PASSED.fullmatch(n.upper())}
        named = {name: os.environ[name] for name in self.env}
        with checkout.prompt_file.open("rb") as prompt_input, files.spawning:
            process = sandbox.agent(
                line,
                cwd=checkout.work,
                env=keys.without(passed) | named | checkout.env,
                hide=checkout.hidden(),
                read=checkout.read,
                stdin=subprocess.DEVNULL if self._takes_prompt else prompt_input,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        return _listen(process, 60 * self.minutes)


class _Said:
    """What an agent printed, and how it ended: `status` is None when its time was over."""

    def __init__(self) -> None:
        self.out, self.all = b"", b""
        self.status: int | None = None

    def hear(self, data: bytes, is_answer: bool) -> None:
        self.all = (self.all + data)[-READ:]
        if is_answer:
            self.out = (self.out + data)[-READ:]

    @functools.cached_property
    def _result(self) -> Mapping[str, Any]:
        """The JSON object in the last line of the output; empty when there is none."""
        line = (self.out.strip().splitlines() or [b""])[-1]
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def answer(self) -> str:
        """What it said to its caller, beside the noise of its work."""
        found = self._result.get("result")
        return found if isinstance(found, str) else _plain(self.out)

    @property
    def cost(self) -> dict[str, float]:
        """Tokens and money, as far as the output tells."""
        found: dict[str, float] = {}
        usage = self._result.get("usage")
        if isinstance(usage, dict):
            counts = [v for k, v in usage.items() if k.endswith("_tokens") and type(v) is int]
            found = {"tokens": sum(counts)} if counts else {}
        money = self._result.get("total_cost_usd")
        if isinstance(money, int | float) and 0 <= money < float("inf"):
            found["money"] = float(money)
        return found

    def last(self) -> str:
        """Return its last lines, bounded."""
        lines = [line.strip() for line in keys.redact(_plain(self.all)).splitlines()[-50:]]
        lines = [line if len(line) <= 200 else line[:199] + "…" for line in lines if line]
        return "\n".join(f"    {line}" for line in lines[-12:]) or "    (nothing)"

    def document(self, command: str, dropped: str) -> str:
        """Return the output as an attachment."""
        text = keys.redact(_plain(self.all))
        if len(text) > KEPT:
            text = f"(the beginning is left out)\n{text[-KEPT:]}"
        head = f"`{keys.redact(command)}`\n"
        return f"{head}\n{dropped}\n\n{text}" if dropped else f"{head}\n{text}"

    def check(self, by: Command) -> None:
        """Raise when the agent failed or its time was over."""
        if self.status == 0:
            return
        if self.status is None:
            raise ProposalError(
                f"{by.name} was at work for {by.minutes:g} minutes and was ended. Give it more "
                f"time, ark.Command(..., minutes={2 * by.minutes:g}), or a smaller idea. It said "
                f"last:\n{self.last()}"
            )
        missing = " (is it installed, and on PATH?)" if self.status == 127 else ""
        raise ProposalError(
            f"{by.name} failed with exit status {self.status}{missing}, so what it changed is not "
            f"used. It said last:\n{self.last()}{_unnamed(by.env)}"
        )


@dataclasses.dataclass(frozen=True)
class _Idea:
    """What an agent says about its change."""

    hypothesis: str
    expected: float | None
    again: str

    @classmethod
    def read(cls, file: str, answer: str) -> _Idea:
        """Take the tags from its file, else from its answer; else their words themselves."""
        tags = {name: _tag(name, file) or _tag(name, answer) for name in ("expected", "again")}
        plain = re.sub(r"<(\w+)>.*?</\1>", "", file, flags=re.DOTALL).strip()
        paragraphs = [p.strip() for p in answer.split("\n\n") if p.strip()]
        words = _tag("hypothesis", file) or plain or _tag("hypothesis", answer)
        try:
            expected = float(tags["expected"])
        except ValueError:
            expected = float("nan")
        finite = abs(expected) < float("inf")
        return cls(
            words or (records.clean(paragraphs[-1], 300) if paragraphs else ""),
            expected if finite else None,
            tags["again"],
        )


def _listen(process: subprocess.Popen[bytes], seconds: float) -> _Said:
    """Pass on what an agent prints until it ends or its time is over; then end all of it."""
    said, late = _Said(), time.monotonic() + seconds
    pending = {"out": b"", "err": b""}
    try:
        with selectors.DefaultSelector() as selector:
            for stream, name in ((process.stdout, "out"), (process.stderr, "err")):
                assert stream is not None
                selector.register(stream, selectors.EVENT_READ, name)
            while True:
                ended = process.poll() is not None
                if not ended and time.monotonic() > late:
                    break
                if not selector.get_map():
                    time.sleep(0.02)
                    events = []
                else:
                    events = selector.select(0 if ended else 0.2)
                for key, _ in events:
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fileobj)
                    said.hear(data, key.data == "out")
                    pending[key.data] = _tell(pending[key.data] + data, last=not data)
                if ended and (not events or time.monotonic() > late):
                    said.status = process.returncode
                    break
    finally:
        sandbox.kill(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return said


def _tell(data: bytes, *, last: bool) -> bytes:
    """Say the whole lines of `data`, and return the rest: half a line may hold half a key."""
    lines, end, rest = (data, b"", b"") if last else data.rpartition(b"\n")
    if len(lines) > SAID:
        lines = b"...\n" + lines[-SAID:].partition(b"\n")[2]
    if lines or end:
        progress.say(keys.redact(_plain(lines + end)))
    return rest[-SAID:]


def _plain(data: bytes) -> str:
    return workplace.ESCAPES.sub("", data.decode(errors="replace").replace("\r\n", "\n"))


def _tag(name: str, text: str) -> str:
    last = re.findall(rf"<{name}>(.*?)</{name}>", text, flags=re.DOTALL)[-1:]
    return last[0].strip() if last else ""


def _unnamed(env: Sequence[str]) -> str:
    """Say that keys have to be named, if there are any and none is."""
    there = keys.names(os.environ)
    if not there or set(there) & set(env):
        return ""
    return (
        f"\nIt was given no keys. If it needs one, name it: ark.Command(..., env=[{there[0]!r}])"
        f"; the environment has {', '.join(there[:5])}."
    )
