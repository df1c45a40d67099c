"""Ways out of the sandbox, each tried inside, where it must fail, and outside, where it works."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import pty
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoresearch_kit import sandbox
from autoresearch_kit.sandbox import syscalls
from tests.untrusted import as_nobody, needs_root, needs_sandbox, python, run, shell

pytestmark = needs_sandbox

NUMBERS = {
    "x86_64": {"add_key": 248, "keyctl": 250, "shmget": 29, "shmat": 30, "shmctl": 31, "clone": 56},
    "aarch64": {
        "add_key": 217, "keyctl": 219, "shmget": 194, "shmat": 196, "shmctl": 195, "clone": 220,
    },
}.get(platform.machine(), {})  # fmt: skip
filtered = pytest.mark.skipif(
    syscalls.program() is None, reason=f"no filter of system calls for {platform.machine()}"
)
CALL = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are their owner's."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_settings_of_the_kernel_cant_be_written_by_root() -> None:
    """Who writes core_pattern has a program started outside, as root. Nothing is written here."""
    code = (
        "import os\n"
        "for folder, _, names in os.walk('/proc/sys'):\n"
        "    for name in names:\n"
        "        try: os.close(os.open(f'{folder}/{name}', os.O_WRONLY)); print(name)\n"
        "        except OSError: pass\n"
    )
    assert "core_pattern" in python(code, boxed=False)[1]
    assert python(code) == (0, "")


@needs_root
def test_nothing_in_proc_beside_own_processes_can_be_written_by_root() -> None:
    code = (
        "import os\n"
        "for folder, inside, names in os.walk('/proc'):\n"
        "    if folder == '/proc': inside[:] = [n for n in inside if not n.isdigit()]\n"
        "    for path in (f'{folder}/{name}' for name in names):\n"
        "        if os.path.isfile(path) and os.access(path, os.W_OK): print(path)\n"
    )
    assert python(code, boxed=False)[1] != ""
    assert python(code) == (0, "")


@needs_root
@pytest.mark.parametrize("name", ["timer_list", "vmallocinfo", "kpageflags"])
def test_what_proc_tells_only_root_is_not_told_inside(name: str) -> None:
    if not Path("/proc", name).exists():
        pytest.skip("this kernel doesn't tell it")
    code = (
        f"import os; print(os.path.isfile('/proc/{name}') and os.access('/proc/{name}', os.R_OK))"
    )
    assert python(code, boxed=False)[1] == "True\n"
    assert python(code)[1] == "False\n"


@needs_root
def test_an_agent_of_root_cant_write_settings_of_the_kernel(tmp_path: Path) -> None:
    look = "test -w /proc/sys/kernel/core_pattern && echo open || echo shut"
    for boxed, expected in ((False, "open\n"), (True, "shut\n")):
        process = sandbox.agent(
            look,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            sandbox=boxed,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.communicate(timeout=60)[0] == expected


@needs_root
def test_files_of_other_users_are_closed_to_root(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    secret.chmod(0o600)
    os.chown(secret, 65534, 65534)
    for boxed, expected in ((False, True), (True, False)):
        output = shell(f"cat {secret}", boxed, read=[tmp_path])[1]
        assert ("canary" in output) is expected


@needs_root
def test_root_makes_no_device_nodes(tmp_path: Path) -> None:
    code = f"import os, stat; os.mknod({str(tmp_path)!r} + '/null', 0o20666, os.makedev(1, 3))"
    assert python(code, boxed=False)[0] == 0
    (tmp_path / "null").unlink()
    status, output = python(code, write=[tmp_path])
    assert status == 1
    assert "not permitted" in output


@needs_root
def test_a_program_with_roots_rights_has_none_inside(open_folder: Path) -> None:
    program = open_folder / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)

    def check() -> None:
        assert subprocess.check_output([program, "-u"], text=True) == "0\n"
        assert run([str(program), "-u"], True, read=[open_folder])[1] == "65534\n"

    as_nobody(check)


def test_a_planted_secret_is_found_by_no_path(open_folder: Path) -> None:
    (open_folder / "secret").write_text("canary")
    place = open_folder / "secret"
    mine = open_folder / "mine"
    mine.mkdir()
    paths = [place, "../secret", f"/proc/self/root{place}", "/proc/self/cwd/../secret", "link"]
    # The process above: the kit's outside, inside the sandbox's first one.
    paths += [f"/proc/$PPID/root{place}", "/proc/$PPID/cwd/../secret"]
    for path in paths:
        script = f"ln -sf {place} link; cat {path}; rm link"
        assert "canary" in shell(script, boxed=False, write=[mine], cwd=mine)[1], path
        assert "canary" not in shell(script, write=[mine], cwd=mine)[1], path


def test_a_handle_of_the_host_is_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    handle = os.open(tmp_path / "secret", os.O_RDONLY)
    os.set_inheritable(handle, True)
    look = ["sh", "-c", f"cat /proc/self/fd/{handle} /proc/1/fd/{handle} 2>&1"]
    careless = subprocess.run(look, close_fds=False, capture_output=True, text=True, check=False)
    assert "canary" in careless.stdout
    assert "canary" not in run(look, True)[1]
    os.close(handle)


@pytest.mark.parametrize("linked", ["read/data", "write/fixed/data"])
def test_no_hard_link_leads_out_of_the_writable_folder(linked: str, tmp_path: Path) -> None:
    write = tmp_path / "write"
    for folder in (tmp_path / "read", write / "fixed"):
        folder.mkdir(parents=True)
        (folder / "data").write_text("kept")
    # A link would be the same file, writable under its new name.
    script = f"ln {tmp_path}/{linked} {write}/own && echo changed > {write}/own"
    status, _ = shell(script, read=[tmp_path / "read", write / "fixed"], write=[write])
    assert status != 0
    assert (tmp_path / linked).read_text() == "kept"
    assert shell(script, boxed=False)[0] == 0
    assert (tmp_path / linked).read_text() == "changed\n"


def test_an_abstract_socket_of_the_host_is_out_of_reach() -> None:
    name = f"\0autoresearch-{secrets.token_hex(8)}"
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert python(code, boxed=False)[0] == 0
        status, output = python(code)
    assert status == 1
    assert "refused" in output


@filtered
def test_the_machine_below_a_virtual_one_is_out_of_reach() -> None:
    """vsock is no part of a network namespace."""
    code = "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"
    if python(code, boxed=False)[0] != 0:
        pytest.skip("this kernel has no vsock")
    status, output = python(code)
    assert status == 1
    assert "Address family not supported" in output


@filtered
def test_keys_of_the_user_are_out_of_reach() -> None:
    """The keyring of a session is no part of any namespace that bubblewrap makes."""
    call, session = NUMBERS["keyctl"], ctypes.c_int(-3)
    if LIBC.syscall(call, 1, None) < 0:  # a session of this test's own
        pytest.skip("this system has no keyrings")
    name, size = secrets.token_hex(8).encode(), ctypes.c_size_t(6)
    key = LIBC.syscall(NUMBERS["add_key"], b"user", name, b"canary", size, session)
    assert key > 0
    code = CALL + (
        "text = ctypes.create_string_buffer(20)\n"
        f"libc.syscall({call}, 11, {key}, text, 20); print(text.value.decode())\n"
    )
    try:
        assert python(code, boxed=False)[1] == "canary\n"
        assert python(code)[1] == "\n"
    finally:
        LIBC.syscall(call, 9, key, session)


@filtered
def test_no_ring_for_system_calls_around_the_filter() -> None:
    code = CALL + "print(libc.syscall(425, 4, ctypes.create_string_buffer(200)) >= 0)"
    if python(code, boxed=False)[1] != "True\n":
        pytest.skip("io_uring is switched off here")
    assert python(code)[1] == "False\n"


NAMESPACES = {
    "unshare": CALL + "print(libc.unshare(0x10000000))",
    "clone": CALL + f"pid = libc.syscall({NUMBERS.get('clone', 0)}, 0x10000000 | 17, 0, 0, 0, 0)\n"
    "if pid == 0: os._exit(0)\n"
    "print(min(pid, 0))",
}


@pytest.mark.parametrize("way", NAMESPACES)
def test_no_new_user_namespace_and_so_no_powers_in_it(way: str) -> None:
    assert python(NAMESPACES[way], boxed=False)[1] == "0\n"
    assert python(NAMESPACES[way])[1] == "-1\n"


def test_shared_memory_of_the_host_is_out_of_reach() -> None:
    if not NUMBERS:
        pytest.skip(f"the numbers of the calls on {platform.machine()} aren't known here")
    key = secrets.randbelow(2**30) + 1
    segment = LIBC.syscall(NUMBERS["shmget"], key, ctypes.c_size_t(4096), 0o1666)
    assert segment >= 0
    try:
        code = CALL + f"print(libc.syscall({NUMBERS['shmget']}, {key}, 4096, 0o600) >= 0)"
        assert python(code, boxed=False)[1] == "True\n"
        assert python(code)[1] == "False\n"
    finally:
        LIBC.syscall(NUMBERS["shmctl"], segment, 0, None)


def test_nothing_is_typed_into_the_callers_terminal() -> None:
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x'); print('typed')"
    outer, inner = pty.openpty()
    try:
        if "typed" not in python(code, boxed=False, stdin=inner)[1]:
            pytest.skip("this kernel lets nobody type for others")
        assert "typed" not in python(code, stdin=inner)[1]
    finally:
        os.close(outer)
        os.close(inner)


def test_a_python_inside_a_checkout_does_not_show_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    base = Path("/opt") if os.access("/opt", os.W_OK) else Path.home()
    with contextlib.ExitStack() as stack:
        project = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", project], check=True)
        (project / ".git").mkdir()
        for name in ("validation.bin", ".git/config", "pip.conf"):
            (project / name).write_text("canary")
        look = [str(project / "bin/python"), "-c"]
        look.append(
            "import pathlib, sys\n"
            "for path in pathlib.Path(sys.prefix).rglob('*'):\n"
            "    if path.is_file() and path.stat().st_size < 99: print(path.read_text())\n"
        )
        assert "canary" in run(look, False)[1]
        status, output = run(look, True)
        assert status == 0
        assert "canary" not in output


def test_a_passworded_index_of_packages_is_hidden(open_folder: Path) -> None:
    base = Path("/opt") if os.access("/opt", os.W_OK) else open_folder
    if base == open_folder:
        pytest.skip("needs a folder outside of home and the temporary ones")
    with tempfile.TemporaryDirectory(dir=base) as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        Path(folder, "pip.conf").write_text("canary")
        look = [f"{folder}/bin/python", "-c", "print(open('pip.conf').read())"]
        assert "canary" in run(look, False, cwd=folder)[1]
        assert "canary" not in run(look, True, cwd=folder)[1]


def test_a_script_does_not_show_what_lies_beside_it(open_folder: Path) -> None:
    (open_folder / "secret").write_text("canary")
    (open_folder / "code").mkdir()
    (open_folder / "code" / "validation").write_text("canary")
    script = open_folder / "code" / "train.sh"
    script.write_text(f"#!/bin/sh\nls {open_folder}\ncat {open_folder}/code/validation\n")
    script.chmod(0o755)
    assert "secret" in run([str(script)], False)[1]
    output = run([str(script)], True)[1]
    assert output.splitlines()[0] == "code"
    assert "secret" not in output
    assert "canary" not in output


def test_mounts_allow_neither_devices_nor_roots_rights() -> None:
    lines = shell("cat /proc/self/mounts")[1].splitlines()
    options = {line.split()[1]: line.split()[3].split(",") for line in lines}
    assert len(options) > 10
    assert all("nosuid" in found for found in options.values())
    assert all(
        "nodev" in found for place, found in options.items() if not place.startswith("/dev/")
    )
