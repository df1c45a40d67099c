"""Where there is no sandbox: what is said; and what is written for other systems than this one."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoresearch_kit import sandbox
from autoresearch_kit.sandbox import boxes, obstacles, seatbelt, syscalls
from tests.untrusted import needs_root, needs_sandbox, python

ALLOWED = 0x7FFF0000
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
REFUSED = [
    *("ptrace", "process_vm_readv", "process_vm_writev", "add_key", "request_key", "keyctl", "bpf"),
    *("perf_event_open", "userfaultfd", "unshare", "setns"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
]
ORDINARY = [
    *("read", "write", "openat", "mmap", "execve", "exit_group", "futex", "personality", "kill"),
    "memfd_create",
]


@pytest.fixture
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "bubblewrap is not installed")
    sandbox.warn.cache_clear()
    yield
    sandbox.warn.cache_clear()


def test_without_a_sandbox_there_is_one_warning_a_process(no_sandbox: None) -> None:
    def start_twice() -> None:
        for _ in range(2):
            assert sandbox.untrusted(["true"]).wait() == 0
            sandbox.warn()

    with pytest.warns(RuntimeWarning, match="without a sandbox here: bubblewrap is not") as seen:
        start_twice()
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_who_asked_for_no_sandbox_is_not_warned(no_sandbox: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sandbox.untrusted(["true"], sandbox=False).wait() == 0


def test_a_missing_bubblewrap_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert "apt install bubblewrap" in str(sandbox.unavailable.__wrapped__())


def test_an_unknown_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "no sandbox for win32" in str(sandbox.unavailable.__wrapped__())


NOTHING = {"proc/sys/user/max_user_namespaces": "96365\n"}
MACHINES = {
    "switched off": (
        {"proc/sys/user/max_user_namespaces": "0\n"},
        "sudo sysctl -w user.max_user_namespaces=15000",
    ),
    "hardened kernel": (
        {"proc/sys/kernel/unprivileged_userns_clone": "0\n"},
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    "Ubuntu 24.04": (
        {"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
        "sudo tee /etc/apparmor.d/bwrap",
    ),
    "Docker": ({".dockerenv": ""}, "--security-opt seccomp=unconfined"),
    "Podman": ({"run/.containerenv": ""}, "unmask=ALL"),
    "Docker on a machine without": (
        {".dockerenv": "", "proc/sys/user/max_user_namespaces": "0\n"},
        "on the machine that runs this container",
    ),
    "filter": ({"proc/self/status": "Name:\tpython\nSeccomp:\t2\n"}, "filter of system calls"),
    "unknown": ({"proc/self/status": "Name:\tpython\nSeccomp:\t0\n"}, "in a terminal"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_likely_cause_is_named_with_what_to_type(machine: str, tmp_path: Path) -> None:
    files, advice = MACHINES[machine]
    for name, text in (NOTHING | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said = obstacles.explain("bwrap: No permissions", tmp_path)
    assert "bwrap: No permissions" in said
    assert advice in said
    assert "\n" not in said


ASK = (
    "import sys; sys.path[:0] = {path!r}; from autoresearch_kit import sandbox;"
    " print(sandbox.unavailable())"
)


@needs_sandbox
@needs_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
def test_where_namespaces_are_used_up_the_setting_is_named() -> None:
    off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    code = ASK.format(path=[p for p in sys.path if p])
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", off, "sh", sys.executable, "-c"]
    done = subprocess.run([*command, code], capture_output=True, text=True, check=False)
    assert "sudo sysctl -w user.max_user_namespaces" in done.stdout, done.stderr


@needs_sandbox
def test_inside_a_sandbox_there_is_none_and_it_says_why() -> None:
    kit = Path(sandbox.__file__).parents[2]
    code = ASK.format(path=[str(kit), *(p for p in sys.path if p)])
    status, output = python(code, read=[kit / "autoresearch_kit"])
    assert status == 0, output
    assert "doesn't work here" in output


def judge(code: bytes, arch: int, number: int, argument: int = 0) -> int:
    """Run a filter as the kernel does: the verdict on one system call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, argument, 0, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("=HBBI", code))
    held = at = 0
    while True:
        operation, yes, no, value = steps[at]
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
            at += 1
            continue
        holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[operation]
        at += 1 + (yes if holds else no)


def number_of(machine: str, name: str) -> int:
    text = HEADERS[machine].read_text()
    found = re.search(rf"^#define __NR(?:3264)?_{name}\s+(\d+)$", text, re.MULTILINE)
    assert found, name
    return int(found[1])


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_refuses_what_its_text_says_and_nothing_else(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers aren't installed: apt install linux-libc-dev")
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    code = syscalls.program(machine)
    assert code is not None
    refusal = {name: judge(code, arch, number_of(machine, name)) for name in REFUSED}
    assert refusal == dict.fromkeys(REFUSED, 0x50000 | errno.EPERM)
    assert {judge(code, arch, number_of(machine, name)) for name in ORDINARY} == {ALLOWED}
    assert judge(code, arch, number_of(machine, "clone3")) == 0x50000 | errno.ENOSYS
    clone, sockets = number_of(machine, "clone"), number_of(machine, "socket")
    assert judge(code, arch, clone, 0x01200011) == ALLOWED  # fork
    assert judge(code, arch, clone, 0x11200011) == 0x50000 | errno.EPERM
    families = [family for family in range(50) if judge(code, arch, sockets, family) == ALLOWED]
    assert families == [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16]


def test_calls_of_another_architecture_are_refused() -> None:
    code = syscalls.program("x86_64")
    assert code is not None
    i386, x32 = 0x40000003, 0x40000000
    assert judge(code, i386, 11) == 0x50000 | errno.ENOSYS
    assert judge(code, 0xC000003E, x32 | 59) == 0x50000 | errno.ENOSYS
    assert judge(code, 0xC000003E, 59) == ALLOWED


@pytest.mark.parametrize("machine", HEADERS)
def test_the_confining_filter_asks_for_each_new_process_and_lets_threads_pass(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers aren't installed: apt install linux-libc-dev")
    code = syscalls.confined(machine)
    assert code is not None
    clone, asked = number_of(machine, "clone"), 0x7FC00000
    assert judge(code, 0, clone, 0x01200011) == asked  # fork
    assert judge(code, 0, clone, 0x00004111) == asked  # posix_spawn
    assert judge(code, 0, clone, 0x003D0F00) == ALLOWED  # pthread_create
    assert judge(code, 0, number_of(machine, "clone3")) == 0x50000 | errno.ENOSYS
    assert {judge(code, 0, number_of(machine, name)) for name in ORDINARY} == {ALLOWED}
    affinity = number_of(machine, "sched_setaffinity")
    assert judge(code, 0, affinity) == 0x50000 | errno.EPERM
    if machine == "x86_64":
        assert {judge(code, 0, number_of(machine, n)) for n in ("fork", "vfork")} == {asked}


def test_an_unknown_processor_has_no_filter() -> None:
    assert syscalls.program("riscv64") is None
    assert syscalls.confined("riscv64") is None


def verdict(profile: str, operation: str, path: Path) -> str:
    """Say what the last rule of a profile for macOS that matches says."""
    said = "allow" if "(allow default)" in profile else "deny"
    rule = r"^\((allow|deny) ([^()]+?)((?: \((?:subpath|literal) \"[^\"]*\"\))*)\)$"
    joined = profile.replace("\n  ", " ")
    for word, operations, where in re.findall(rule, joined, re.MULTILINE):
        names = [name.rstrip("*") for name in operations.split()]
        places = re.findall(r"\((subpath|literal) \"([^\"]*)\"\)", where)
        here = not places or any(
            path == Path(place) or (kind == "subpath" and path.is_relative_to(place))
            for kind, place in places
        )
        if here and any(operation.startswith(name) for name in names):
            said = word
    return said


def test_a_profile_for_macos_opens_only_what_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    read, write = home / "read", home / "write"
    profile = seatbelt.narrow([read, write / "fixed"], [write], home)
    for operation, path, expected in (
        ("file-read-data", home / ".ssh/id_ed25519", "deny"),
        ("file-read-data", read / "data", "allow"),
        ("file-write-create", read / "data", "deny"),
        ("file-read-data", write / "data", "allow"),
        ("file-write-create", write / "data", "allow"),
        ("file-write-create", write / "fixed/data", "deny"),
        ("file-read-data", home / ".cache/data", "allow"),
        ("file-write-create", home / ".cache/data", "deny"),
        ("file-read-data", home / ".cache/huggingface/token", "deny"),
        ("file-read-data", Path("/usr/lib/libSystem.dylib"), "allow"),
        ("file-write-create", Path("/usr/lib/x"), "deny"),
        ("file-read-data", Path("/private/etc/master.passwd"), "deny"),
        ("network-outbound", home, "deny"),
    ):
        assert verdict(profile, operation, path) == expected, (operation, path)
    assert verdict(seatbelt.narrow([], [], None), "file-read-data", home / ".cache/x") == "deny"
    assert profile.count("(") == profile.count(")")


def test_a_profile_for_an_agent_hides_and_protects_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    work, data = tmp_path / "work", tmp_path / "host" / "data"
    for folder in (work, data / "train"):
        folder.mkdir(parents=True)
    profile = seatbelt.wide(boxes.views(work, [data], [data / "train"]))
    for operation, path, expected in (
        ("file-read-data", data / "validation.bin", "deny"),
        ("file-read-data", data / "train/1.bin", "allow"),
        ("file-write-create", data / "train/1.bin", "deny"),
        ("file-write-create", work / "train.py", "allow"),
        ("file-write-create", tmp_path / "notes", "allow"),
        ("file-write-create", Path("/etc/hosts"), "deny"),
        ("file-write-create", Path(sandbox.__file__), "deny"),
        ("network-outbound", tmp_path, "allow"),
    ):
        assert verdict(profile, operation, path) == expected, (operation, path)


def test_a_path_cant_add_a_rule_to_a_profile(tmp_path: Path) -> None:
    odd = tmp_path / 'a"))(allow default)(allow file-read* (subpath "'
    assert "(allow default)" not in re.sub(
        r'"(?:[^"\\]|\\.)*"', "", seatbelt.narrow([odd], [], None)
    )
    with pytest.raises(ValueError, match="control character"):
        seatbelt.narrow([tmp_path / "a\n(allow default)"], [], None)


def test_the_monitor_removes_its_scratch_folder(tmp_path: Path) -> None:
    """On macOS that is /tmp and home of a run."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [*sandbox._monitored({}, scratch), "/bin/sh", "-c", f"touch {scratch}/used; exit 3"]
    assert subprocess.run(command, check=False).returncode == 3
    assert not scratch.exists()
