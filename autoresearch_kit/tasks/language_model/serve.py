"""Run a candidate's model for the scorer: token rows in, raw logits out.

The scorer starts this file inside the sandbox, where candidate code runs too: nothing that comes
out of here is trusted. It sees no target beyond the tokens it is given, no data and no byte counts.

    python -I serve.py READ WRITE SHARED       three inherited file descriptors

Requests and replies are one JSON object a line; tokens and logits lie in the shared memory.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import safetensors.torch
import torch


class Fault(Exception):
    """The candidate did something wrong; the text is for the record.

    Once rows were seen only `kind`, which the scorer has to know, and `line` of train.py count.
    """

    def __init__(self, text: str, kind: str = "", line: int = 0) -> None:
        super().__init__(text)
        self.kind, self.line = kind, line


def main() -> None:
    """Answer the scorer's requests until it closes the pipe."""
    read, write, shared = map(int, sys.argv[1:])
    with os.fdopen(read) as requests, os.fdopen(write, "w", buffering=1) as replies:

        def reply(**fields: Any) -> None:
            replies.write(json.dumps(fields) + "\n")

        device = os.environ.get("DEVICE") or _device()
        reply(device=device)
        hello = json.loads(requests.readline())
        try:
            serve = _server(hello, device, shared)
            reply(built=True)
            for line in requests:
                serve(**json.loads(line))
                reply(done=True)
        except Fault as fault:
            reply(fault=str(fault), kind=fault.kind, line=fault.line)


def _server(hello: dict[str, Any], device: str, shared: int) -> Any:
    """Build the model and return the function that answers one request."""
    length, vocab_size = hello["sequence_len"], hello["vocab_size"]
    code = hello["code"]
    sys.path.insert(0, code)
    with _blamed("import of train.py", code):
        build_model = getattr(importlib.import_module("train"), "build_model", None)
    if build_model is None:
        raise Fault("train.py has no function build_model(vocab_size, sequence_len)")
    with _blamed("build_model", code):
        model = build_model(vocab_size, sequence_len=length)
    if not isinstance(model, torch.nn.Module):
        raise Fault(f"build_model returned {type(model).__name__}, expected a torch.nn.Module")
    with _blamed("loading the weights", code):
        _load(model, hello["weights"])
    with _blamed("moving the model to its device", code):
        model = model.to(device).eval()

    memory = mmap.mmap(shared, hello["slots"] * hello["slot_bytes"])
    if device.startswith("cuda"):
        # Pinned, a copy from the device is several times faster; where it fails, only slower.
        whole = torch.frombuffer(memory, dtype=torch.uint8)
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        runtime.cudaHostRegister(whole.data_ptr(), whole.numel(), 0)
    precision = (
        torch.autocast("cuda", torch.bfloat16)
        if device.startswith("cuda")
        else contextlib.nullcontext()
    )

    def view(start: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.frombuffer(memory, dtype=dtype, count=count, offset=start).view(shape)

    @torch.no_grad()
    def serve(slot: int, rows: int) -> None:
        start = slot * hello["slot_bytes"]
        tokens = view(start, (rows, length), torch.int64).to(device, copy=True)
        with _blamed("forward", code), precision:
            logits = model(tokens)
        expected = (rows, length, vocab_size)
        if not isinstance(logits, torch.Tensor):
            raise Fault(
                f"the model returned {type(logits).__name__}, expected logits (B, T, V)",
                "no tensor",
            )
        if tuple(logits.shape) != expected:
            raise Fault(
                f"logits have the shape {tuple(logits.shape)}, expected {expected}", "shape"
            )
        if not logits.is_floating_point():
            raise Fault(f"logits are {logits.dtype}, expected floating point numbers", "no numbers")
        with _blamed("forward", code):  # A device tells of a failed kernel only now.
            view(start + hello["logits_at"], expected, torch.float32).copy_(logits)

    return serve


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(model: torch.nn.Module, path: str) -> None:
    """Load the weights; every tensor must be there, with the right shape, and no other."""
    wanted, given = model.state_dict(), safetensors.torch.load_file(path)
    wrong = [
        f"{name} {tuple(given[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    if wrong:
        raise Fault(f"weights have the wrong shape: {_few(wrong)}")
    # Tied tensors are stored once, so "missing" is for safetensors to say.
    missing, unexpected = safetensors.torch.load_model(model, path, strict=False)
    if missing:
        raise Fault(f"weights lack {_few(sorted(missing))}")
    if unexpected:
        raise Fault(f"weights have tensors that the model does not: {_few(sorted(unexpected))}")


def _few(names: list[str]) -> str:
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


@contextlib.contextmanager
def _blamed(what: str, code: str) -> Any:
    """Turn whatever candidate code raises into a `Fault` with its last line and place."""
    try:
        yield
    except Fault:
        raise
    except BaseException as error:
        said = traceback.format_exception_only(error)[-1].strip()
        places = [
            (str(Path(frame.filename).relative_to(code)), frame.lineno or 0)
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(code)
        ]
        if places:
            said += " ({}, line {})".format(*places[-1])
        known = (
            each.__name__
            for each in type(error).__mro__
            if each.__module__ == "builtins" or each is torch.OutOfMemoryError
        )
        line = next((at for file, at in reversed(places) if file == "train.py"), 0)
        raise Fault(f"{what} failed: {said}", next(known), line) from error


if __name__ == "__main__":
    main()
