"""Hostile experiments, run through the real steps, and what to look at when they have ended.

An attack is a file in ``attacks/<host>/``: a docstring that says what it tries, comments
``# name: value``, then code that is put in front of the host's ``__main__`` (``# whole: yes`` takes
its place). ``@NAME@`` stands for what an attacker may know: paths, a port.

    # ends: honest | crash | quarantine | refused, several with "or"
    # says: a regular expression that the reason of a crash matches
    # admission: the kind for which a campaign that allows nothing refuses it; "lets it in" if none
    # stage: score, for what happens when it is measured: the weights are those of the honest run
    # cpu: CPU seconds that it may have used unless it crashed, as it counts in RUN_DIR/used.txt
    # may: places of secrets that the contract of its host lets it read
    # only: acceptance, for what takes long
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

import autoresearch_kit as ark
from autoresearch_kit import admission, files, git, patch, proposal, records, runs

FOLDER = Path(__file__).parent
MAIN = '\n\nif __name__ == "__main__":\n'
MARK = "redteam-mark"
AUTHOR = "Mallory <mallory@example.org>"


_ATTEMPTS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Attack:
    """A hostile experiment as its file describes it."""

    path: Path
    tries: str
    notes: Mapping[str, str]
    code: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def ends(self) -> list[str]:
        return self.notes["ends"].split(" or ")

    def text(self, honest: str, known: Mapping[str, str]) -> str:
        """Return the file of the host with this attack in it."""
        # So that it isn't the code of an earlier experiment, when it is run again.
        code = f"{self.code}\n\nATTEMPT = {next(_ATTEMPTS)}"
        if "loot(" in code or "tell(" in code:
            code = (FOLDER / "attacks" / "loot.py").read_text() + code
        for name, value in known.items():
            code = code.replace(f"@{name}@", value)
        if "whole" in self.notes:
            return code
        head, found, tail = honest.partition(MAIN)
        return f"{head}\n\n{code}{found}{tail}"


def attacks(host: str) -> list[Attack]:
    """Return the attacks on a host, by name."""
    return [_read(path) for path in sorted((FOLDER / "attacks" / host).glob("*.*"))]


def _read(path: Path) -> Attack:
    text = path.read_text()
    tries = re.match(r'"""(.*?)"""\n', text, re.DOTALL)
    assert tries, f"{path} does not begin with what it tries"
    notes = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
    return Attack(path, tries[1], notes, text[tries.end() :])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attack ended."""

    status: str
    value: float | None
    reason: str
    n: int | None = None


@dataclasses.dataclass
class Range:
    """A campaign with its baseline and an honest, slightly worse experiment to compare with.

    The attacks are changes of that worse one, so whatever is kept has cheated.
    """

    campaign: ark.Campaign
    path: str
    worse: str
    planted: Planted
    known: dict[str, str]
    honest: float = 0.0

    def begin(self) -> None:
        """Measure the honest code, and leave a secret in the folder of its run."""
        ark.baseline(self.campaign)
        first = self.campaign.state / "runs" / "0000-0"
        self.planted.write(first / "out" / "secret.txt", "run")
        self.planted.write(first / "notes.txt", "run-folder")
        score = self._steps({self.path: self.worse}, "an honest experiment", AUTHOR)
        assert score.status == "discard", score
        assert score.value is not None
        self.honest = score.value
        # The kit keeps only the last runs' files, so what attacks are given lies elsewhere.
        shutil.copytree(self.campaign.state / "runs" / "0001-0", self.honest_run)

    @property
    def honest_run(self) -> Path:
        return self.campaign.state.parent / f"honest-{self.campaign.tag}"

    def run(self, attack: Attack) -> Outcome:
        """Return how an attack ends, from its proposal to its verdict."""
        path = attack.notes.get("file", self.path)
        given = {self.path: self.worse}
        if path == self.path:
            given[path] = attack.text(self.worse, self.known)
        else:
            given[path] = attack.code
        words = attack.notes.get("hypothesis", f"attack {attack.name}")
        words, author = (
            text.encode().decode("unicode_escape")
            for text in (words, attack.notes.get("author", AUTHOR))
        )
        try:
            score = self._steps(given, words, author, attack)
        except ark.errors.ProposalError as error:
            return Outcome("refused", None, str(error))
        said = files.read_table(self.campaign.state / "runs" / f"{score.n:04d}-0" / "score.json")
        # A suspicion is no verdict while the value is worse than the best: here it always is.
        doubted = score.status == "discard" and "quarantine" in said
        status = "quarantine" if doubted else score.status
        return Outcome(status, score.value, score.reason, score.n)

    def _steps(
        self, given: Mapping[str, str], words: str, author: str, attack: Attack | None = None
    ) -> ark.Score:
        made = proposal.draft(
            self.campaign,
            files=given,
            hypothesis=words,
            author=author,
            approved_by=AUTHOR,
            parent=self.campaign.experiment(0),
        )
        experiment = ark.apply(made)
        if attack and attack.notes.get("stage") == "score":
            self._train_honestly(experiment, attack)
        return ark.score(ark.train_5min(experiment))

    def _train_honestly(self, experiment: Any, attack: Attack) -> None:
        """Give an experiment the honest run as its own, before it is measured."""
        folder = self.campaign.state / "runs" / f"{experiment.n:04d}-0"
        shutil.copytree(self.honest_run / "out", folder / "out")
        shutil.copy(self.honest_run / "status.json", folder / "status.json")
        files.write_json(folder / "run.json", runs._spec(experiment, 0))
        if "forges" in attack.notes:
            scope: dict[str, Any] = {}
            exec(attack.code.split("# the rest runs in the kit's sandbox")[0], scope)
            scope["forge"](folder / "out" / "weights.safetensors")

    def forget_keeps(self) -> None:
        """Take keeps back, so that the next attack is compared with the honest code too."""
        tag, repo = self.campaign.tag, self.campaign.path
        for n in [r.n for r in self.campaign.records() if r.n and r.status == "keep"]:
            gone = records.tag_ref(tag, n), records.files_ref(tag, n)
            branch = f"refs/heads/{self.campaign.branch}"
            updates = [*(git.RefUpdate(ref, None) for ref in gone)]
            git.update_refs(repo, [*updates, git.RefUpdate(branch, self.campaign.start)])
            for folder in (self.campaign.state / "runs").glob(f"{n:04d}-*"):
                files.remove_tree(folder)

    def refused_kinds(self, attack: Attack) -> list[str]:
        """Return for which kinds of concern a campaign that allows nothing refuses an attack."""
        before = self.campaign.experiment(0).files[self.path]
        text = attack.text(self.worse, self.known)
        concerns = patch.warnings({self.path: before}, {self.path: text}, self.campaign.task.edit)
        return [c.kind for c in concerns if c.kind in admission.REFUSED]


@dataclasses.dataclass
class Planted:
    """Secrets, each in a place of its own, that no experiment may bring out."""

    words: dict[str, str] = dataclasses.field(default_factory=dict)
    raw: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def word(self, place: str) -> str:
        """Return a new secret for a place."""
        self.words[place] = f"CANARY-{place}-{secrets.token_hex(8)}"
        return self.words[place]

    def write(self, path: Path, place: str) -> None:
        """Write a new secret to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.word(place) + "\n")

    def found_in(self, campaign: ark.Campaign, n: int, but: str = "") -> dict[str, str]:
        """Return which secrets lie in the run folder or the record of an experiment, and where.

        `but` are the places that an experiment may read.
        """
        found = {}
        for where, content in _comes_back(campaign, n):
            for place, word in self.words.items():
                if word.encode() in content and place not in but:
                    found[place] = where
            for place, raw in self.raw.items():
                if raw in content:
                    found[place] = where
        return found


def _comes_back(campaign: ark.Campaign, n: int) -> Iterator[tuple[str, bytes]]:
    """Yield all that remains of an experiment: files, record, attachments."""
    for folder in (campaign.state / "runs").glob(f"{n:04d}-*"):
        for place, folders, names in os.walk(folder):
            for name in (*folders, *names):
                yield f"name of {folder.name}/{name}", os.fsencode(name)
                with contextlib.suppress(OSError):
                    path = Path(place, name)
                    yield f"{folder.name}/{name}", files.read_untrusted(path, 64 << 20)
    for tag in git.annotated_tags(campaign.path, records.tag_ref(campaign.tag, n)):
        yield "the record", tag.message.encode()
    for name, content in records.read_attachments(campaign.path, campaign.tag, n).items():
        yield f"attachment {name}", content


class Doors:
    """Servers on this machine that an experiment must not reach; each tells a secret."""

    def __init__(self, folder: Path, planted: Planted) -> None:
        self.visits: list[str] = []
        secret = planted.word("server").encode()
        self.abstract = f"redteam-{secrets.token_hex(4)}"
        self.unix = folder / "server.socket"
        self._sockets = [
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        ]
        self.port = self._sockets[0].getsockname()[1]
        self._sockets[1].bind(f"\0{self.abstract}")
        self._sockets[2].bind(str(self.unix))
        for each, name in zip(self._sockets, ("tcp", "abstract", "unix"), strict=True):
            each.listen(16)
            threading.Thread(target=self._serve, args=(each, name, secret), daemon=True).start()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.udp.setblocking(False)

    def _serve(self, server: socket.socket, name: str, secret: bytes) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = server.accept()
                self.visits.append(name)
                with visitor, contextlib.suppress(OSError):
                    visitor.sendall(secret)

    def visited(self) -> list[str]:
        """Return by which doors somebody came since the last call."""
        with contextlib.suppress(BlockingIOError):
            self.visits.append(f"udp {self.udp.recv(100)!r}")
        found, self.visits = self.visits, []
        return found

    def close(self) -> None:
        """Close all of them."""
        for each in (*self._sockets, self.udp):
            each.close()


@dataclasses.dataclass
class Ground:
    """What surrounds the campaigns: a home, secrets in all places, servers, a watcher."""

    folder: Path
    planted: Planted
    doors: Doors
    secret_process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def known(self, host: Path, state: Path, data: Path) -> dict[str, str]:
        """Return what an attacker may know of the machine."""
        return {
            "HOST": str(host),
            "STATE": str(state),
            "DATA": str(data.resolve()),
            "HOME": str(self.home),
            "GROUND": str(self.folder),
            "PACKAGE": str(Path(ark.__file__).parent),
            "PORT": str(self.doors.port),
            "ABSTRACT": self.doors.abstract,
            "UNIX": str(self.doors.unix),
            "MARK": MARK,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables of the processes that start experiments, with secrets in them."""
        return {
            "HOME": str(self.home),
            "PLANTED_SECRET": self.planted.words["environment"],
            "OPENAI_API_KEY": self.planted.words["key"],
            "AUTORESEARCH_DATA": str(self.folder / "cache"),
            "AUTORESEARCH_DEVICE": "cpu",
        }

    def watched(self, campaign: ark.Campaign) -> dict[str, str]:
        """Return a fingerprint of everything that an experiment must leave as it is."""
        package = Path(ark.__file__).parent
        others = (campaign.state / "runs" / "0000-0", campaign.state.parent / "honest-r")
        seen: dict[str, str] = {}
        for place in (campaign.path, self.home, self.folder / "cache", package, *others):
            for path in _below(place, () if place != campaign.path else _GITS):
                with contextlib.suppress(FileNotFoundError):
                    seen[str(path)] = _fingerprint(path)
        site = Path(contextlib.__file__).parent / "site-packages"
        for place in (Path(sys.prefix), site.parent, site, Path(psutil.__file__).parents[1]):
            if place.is_dir():
                names = {p.name for p in place.iterdir()} - {"__pycache__"}
                seen[str(place)] = " ".join(sorted(names))
        own = (
            f"refs/tags/autoresearch/{campaign.tag}/",
            f"refs/tags/autoresearch-files/{campaign.tag}/",
        )
        own = (*own, f"refs/autoresearch/{campaign.tag}/")
        refs = git.refs(campaign.path, "refs")
        seen |= {ref: oid for ref, oid in refs.items() if not ref.startswith(own)}
        for n in (0, 1):
            seen[f"record {n}"] = repr(git.refs(campaign.path, records.tag_ref(campaign.tag, n)))
        return seen

    def left_behind(self) -> list[str]:
        """Return marks that hostile code has left anywhere on the machine, and its processes."""
        places = ["/tmp", "/var/tmp", "/dev/shm", "/run", str(self.home), "/dev/mqueue", "/"]
        left = []
        for place in places:
            with contextlib.suppress(OSError):
                left += [str(p) for p in Path(place).iterdir() if p.name.startswith(MARK)]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(MARK in word for word in process.cmdline()):
                    left.append(f"process {process.pid}")
        return left

    def close(self) -> None:
        """End the servers and the process with the secret."""
        self.doors.close()
        self.secret_process.kill()
        self.secret_process.wait()
        files.remove_tree(self.folder)


_GITS = tuple(
    f".git/{name}" for name in ("autoresearch", "objects", "refs", "logs", "packed-refs", "index")
)


def _below(place: Path, but: tuple[str, ...]) -> Iterator[Path]:
    for folder, folders, names in os.walk(place):
        inside = os.path.relpath(folder, place)
        folders[:] = [n for n in folders if os.path.normpath(f"{inside}/{n}") not in but]
        for name in (*folders, *names):
            if os.path.normpath(f"{inside}/{name}") not in but:
                yield Path(folder, name)


def _fingerprint(path: Path) -> str:
    status = path.lstat()
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if not path.is_file():
        return oct(status.st_mode)
    digest = hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
    return f"{oct(status.st_mode)} {digest}"


def ground(folder: Path) -> Ground:
    """Make the surroundings in an empty folder."""
    planted = Planted()
    home = folder / "home"
    for name in (".ssh/id_ed25519", ".netrc", ".cache/secret", ".config/hub/token", "notes/diary"):
        planted.write(home / name, "home" + name.replace("/", "-").replace(".", ""))
    planted.word("environment")
    planted.word("key")
    planted.write(folder / "tmp-secret", "beside")
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(10000)", planted.word("process")],
        env={"IN_PROCESS": planted.word("process-environment")},
    )
    return Ground(folder, planted, Doors(folder, planted), process)


def plant_in(host: Path, planted: Planted, name: str) -> None:
    """Leave secrets in a host's repository and beside its files."""
    planted.write(host / ".git" / "secret", f"{name}-git")
    planted.write(host / ".env", f"{name}-untracked")
    with (host / ".git" / "config").open("a") as config:
        config.write(f'[canary]\n\tvalue = "{planted.word(f"{name}-config")}"\n')
