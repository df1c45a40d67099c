"""What surrounds the attacked campaigns: secrets, servers, and a look at what has changed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

import autoresearch_kit as ark
from autoresearch_kit import files, git, records

MARK = "redteam-mark"


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
    oids = git.refs(campaign.path, records.tag_ref(campaign.tag, n)).values()
    for tag in git.annotated_tags(campaign.path, oids):
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
