"""Run one kernel for the scorer: read arrays from shared memory, fill others.

The scorer starts this file inside the sandbox, once for the candidate and once for torch's own
ways. Candidate code runs in this very process, so nothing that comes out of here is trusted: not
that a call was made, nor when it ended.

    python -I serve.py READ WRITE INPUTS OUTPUTS FORKS FILTER

takes five inherited file descriptors and, in hexadecimal, a filter of system calls (`forks`).
Requests and replies are one JSON object a line, and a reply carries its request's ``nonce``.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import mmap
import os
import platform
import socket
import struct
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

NEW_LISTENER, NO_NEW_PRIVILEGES = 8, 38  # linux/seccomp.h, linux/prctl.h
SECCOMP = {"x86_64": 317, "aarch64": 277}


def _confine(handle: int, program: bytes) -> None:
    """Stay on the same cores, and let the scorer decide over each process that is started."""
    listener = -1
    if program:
        kernel, code = ctypes.CDLL(None), ctypes.create_string_buffer(program, len(program))
        described = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        kernel.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        listener = kernel.syscall(SECCOMP[platform.machine()], 1, NEW_LISTENER, described)
    with socket.socket(fileno=handle) as scorer:
        socket.send_fds(scorer, [b"."], [listener] if listener >= 0 else [])
    if listener >= 0:
        os.close(listener)


if __name__ == "__main__":  # before libraries start threads, which it would not bind
    _confine(int(sys.argv[5]), bytes.fromhex(sys.argv[6]))

import torch  # noqa: E402

# What a kernel allocates for itself lies in memory that glibc keeps: else every call with a large
# intermediate pays for page faults (mallopt: M_MMAP_THRESHOLD -3, M_TRIM_THRESHOLD -1).
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(-3, 32 << 20)
    ctypes.CDLL(None).mallopt(-1, 1 << 30)


HUGE = 2 << 20
MAP_FIXED, MADV_COLLAPSE = 0x10, 25  # linux/mman.h; the latter since Linux 6.1
MOST_SAID = 900  # characters of an error
# What compilers make is for this process alone; TMPDIR is gone with it where there is a sandbox.
_MADE = tempfile.mkdtemp(prefix="kernel-")
for _cache in ("TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR"):
    os.environ[_cache] = f"{_MADE}/{_cache}"


class Fault(Exception):
    """The candidate did something wrong; the text is for the record."""


class Server:
    """Kernels by name, the arrays of the slots, and what may be asked of them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs, self.outputs = _mapped(inputs, write=False), _mapped(outputs, write=True)
        self.fresh = False
        self.cuda = torch.cuda.is_available()
        self.kernels: dict[str, Any] = {}
        self.shared: list[list[torch.Tensor]] = []
        self.arguments: list[list[torch.Tensor]] = []

    def start(self, threads: int) -> dict[str, Any]:
        """Say which device there is."""
        torch.set_num_threads(threads)
        return {"device": "cuda" if self.cuda else "cpu"}

    def load(self, file: str, function: str, builtins: bool) -> dict[str, Any]:
        """Import a file; take its one kernel, or all the kernels that its function returns."""
        spec = importlib.util.spec_from_file_location("kernel", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["kernel"] = module  # numba and pickle look there
        sys.path.insert(0, str(Path(file).parent))
        spec.loader.exec_module(module)
        found = getattr(module, function, None)
        if not callable(found):
            raise Fault(f"{Path(file).name} has no function {function}")
        ways = found(torch) if builtins else [found]
        self.kernels |= {way.__name__: way for way in ways} if builtins else {function: found}
        return {"kernels": [way.__name__ for way in ways] if builtins else [function]}

    def arrange(self, arrays: list[Any], slots: int, stride: list[int]) -> dict[str, Any]:
        """Make the tensors of all slots; the last of `arrays` (dtype, shape, offset) is `out`."""
        *given, out = arrays
        self.shared = [
            [
                *(self._tensor(self.inputs, each, slot * stride[0]) for each in given),
                self._tensor(self.outputs, out, slot * stride[-1]),
            ]
            for slot in range(slots)
        ]
        self.arguments, self.fresh = self.shared, True
        if self.cuda:
            self.arguments = [[each.cuda() for each in slot] for slot in self.shared]
        return {}

    def _tensor(self, memory: Any, array: list[Any], start: int) -> torch.Tensor:
        dtype, shape, offset = array
        kind, count = getattr(torch, dtype), torch.Size(shape).numel()
        return torch.frombuffer(memory, dtype=kind, count=count, offset=start + offset).view(shape)

    def upload(self, slots: list[int]) -> dict[str, Any]:
        """Copy inputs and the poison in the outputs to the device."""
        for slot in slots if self.cuda else ():
            for there, here in zip(self.arguments[slot], self.shared[slot], strict=True):
                there.copy_(here)
        self._synchronize()
        return {}

    def call(self, kernel: str, slots: list[int]) -> dict[str, Any]:
        """Call a kernel once a slot."""
        if self.fresh and not self.cuda:
            _collapse(self.shared)
        self.fresh = False
        function, arguments = self.kernels[kernel], self.arguments
        for slot in slots:
            function(*arguments[slot])
        self._synchronize()
        return {}

    def download(self, slots: list[int]) -> dict[str, Any]:
        """Copy the outputs from the device."""
        for slot in slots if self.cuda else ():
            self.shared[slot][-1].copy_(self.arguments[slot][-1])
        return {}

    def _synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def _mapped(handle: int, *, write: bool) -> Any:
    """Map a file, on Linux from a boundary of huge pages on."""
    size = os.fstat(handle).st_size
    if sys.platform.startswith("linux"):
        take = ctypes.CDLL(None).mmap
        take.restype, number = ctypes.c_void_p, ctypes.c_int
        take.argtypes = [ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_long]
        free = take(None, size + HUGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        at = -(-free // HUGE) * HUGE
        rights = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        if take(at, size, rights, mmap.MAP_SHARED | MAP_FIXED, handle, 0) == at:
            return (ctypes.c_char * size).from_address(at)
    return mmap.mmap(handle, size, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)


def _collapse(slots: list[list[torch.Tensor]]) -> None:
    """Put the arrays into huge pages, as far as this kernel of Linux does that.

    A candidate could do so for itself, and would be some 15 % faster by no merit of its own.
    """
    if sys.platform.startswith("linux"):
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for arrays in ([each for slot in slots for each in slot[:-1]], [s[-1] for s in slots]):
            first = min(each.data_ptr() for each in arrays) // HUGE * HUGE
            last = max(each.data_ptr() + each.nbytes for each in arrays)
            advise(first, -(-(last - first) // HUGE) * HUGE, MADV_COLLAPSE)


def main() -> None:
    """Answer the scorer's requests until it closes the pipe."""
    read, write, inputs, outputs = map(int, sys.argv[1:5])
    warnings.filterwarnings("ignore", "The given buffer is not writable")
    with os.fdopen(read) as requests, os.fdopen(write, "w", buffering=1) as replies:
        server = Server(inputs, outputs)
        with torch.no_grad():
            for line in requests:
                request = json.loads(line)
                nonce, do = request.pop("nonce"), request.pop("do")
                try:
                    said = getattr(server, do)(**request)
                except Fault as fault:
                    said = {"fault": str(fault)}
                except BaseException as error:
                    said = {"fault": _told(error)}
                replies.write(json.dumps({"nonce": nonce} | said) + "\n")


def _told(error: BaseException) -> str:
    """Return what an error says, short, and its place in kernel.py."""
    said = _short(traceback.format_exception_only(error)[-1].strip())
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno))
    lines = [line for file, line in places if Path(file).name == "kernel.py"]
    first, *others = said.split("\n", 1)
    return "\n".join([f"{first} (kernel.py, line {lines[-1]})" if lines else first, *others])


def _short(said: str) -> str:
    """Return a long text's first line and, of a compiler's output, the lines that are errors."""
    if len(said) <= MOST_SAID:
        return said
    first, *others = said.splitlines()
    wrong = [line for line in others if "error:" in line or "undefined reference" in line]
    return "\n".join([first[:100], *wrong] if wrong else [said])[:MOST_SAID]


if __name__ == "__main__":
    main()
