"""Profiles for macOS's ``sandbox-exec``: what `boxes` is on Linux.

Not run: no Mac was at hand. Written after the system's own profiles and Chromium's and Codex's
(sandbox/policy/mac/common.sb; codex-rs/core/src/seatbelt_base_policy.sbpl). Of the rules that match
the last one counts, and paths are compared after links are resolved.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

PROGRAM = "/usr/bin/sandbox-exec"

# system.sb holds what the loader and the C library need; it comes with macOS.
_NARROW = """\
(version 1)
(deny default)
(import "system.sb")
(allow process-exec)
(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow ipc-posix-sem)
(allow ipc-posix-shm* (ipc-posix-name-regex #"^/(psm_|torch_|__KMP_)"))
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
; Metal
(allow mach-lookup (xpc-service-name "com.apple.MTLCompilerService"))
(allow iokit-get-properties)
(allow iokit-open (iokit-user-client-class
  "AGXDeviceUserClient" "AGXSharedUserClient" "IOSurfaceRootUserClient"))
; names, sizes and links, without which no path resolves
(allow file-read-metadata)
(allow file-read* (literal "/") (literal "/dev/null") (literal "/dev/zero")
  (literal "/dev/random") (literal "/dev/urandom") (subpath "/dev/fd"))
(allow file-write-data (literal "/dev/null") (literal "/dev/zero"))
"""
_SYSTEM = (
    "/System", "/usr", "/bin", "/sbin", "/opt/homebrew", "/Library/Apple", "/Library/Developer",
    "/Library/Frameworks", "/private/etc/group", "/private/etc/hosts", "/private/etc/localtime",
    "/private/etc/passwd", "/private/etc/ssl", "/private/var/db/dyld", "/private/var/db/timezone",
)  # fmt: skip


def narrow(read: Iterable[Path], write: Iterable[Path], home: Path | None) -> str:
    """Return the profile for code that nobody trusts: no network, no file but the named ones.

    Parameters
    ----------
    read, write
        Files and folders that are readable, or writable as well; the deeper path wins.
    home
        Lets this home's ``.cache`` be read, without Hugging Face's tokens.
    """
    places = {_real(place): False for place in read} | {_real(place): True for place in write}
    secrets: list[str] = []
    if home is not None:
        places.setdefault(_real(home / ".cache"), False)
        secrets = [_real(home / ".cache/huggingface" / n) for n in ("token", "stored_tokens")]
    rules = [f"(allow file-read* (subpath {_quoted(place)}))" for place in _SYSTEM]
    for place in sorted(places, key=lambda place: place.count("/")):
        rules.append(f"(allow file-read* (subpath {_quoted(place)}))")
        verdict = "allow" if places[place] else "deny"
        rules.append(f"({verdict} file-write* (subpath {_quoted(place)}))")
    rules += [f"(deny file-read-data (literal {_quoted(secret)}))" for secret in secrets]
    return _NARROW + "\n".join([*rules, "(deny network*)", ""])


def wide(views: Mapping[Path, str]) -> str:
    """Return the profile for an agent, from what `boxes.views` says of each place."""
    rules = ["(version 1)", "(allow default)", "(deny file-write*)"]
    rules += ['(allow file-write* (subpath "/dev"))']
    for place, how in views.items():
        where = f"(subpath {_quoted(str(place))})"
        if how in ("--bind", "--ro-bind"):
            verdict = "allow" if how == "--bind" else "deny"
            rules += [f"(allow file-read* {where})", f"({verdict} file-write* {where})"]
        else:
            rules += [f"(deny file-read-data file-write* {where})"]
    return "\n".join([*rules, ""])


def _real(place: Path) -> str:
    return os.path.realpath(place)


def _quoted(path: str) -> str:
    """Return a string of the profile's language, which is Scheme's."""
    if any(ord(character) < 32 for character in path):
        raise ValueError(f"{path!r} has a control character; the sandbox can't name such a path")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
