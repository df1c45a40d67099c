"""Run a candidate's model for the scorer: token rows in, raw logits out.

The scorer starts this file inside the sandbox, where candidate code runs too: nothing that comes
out of here is trusted. It sees no target beyond the tokens it is given, no data and no byte counts.

    python -I serve.py READ WRITE SHARED FRAMEWORK

The first three are inherited file descriptors, the last is a file with what depends on the
framework (serve_torch.py says what there has to be in one). Requests and replies are one JSON
object a line; tokens and logits lie in the shared memory.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import mmap
import os
import sys
import traceback
from pathlib import Path
from typing import Any


class Fault(Exception):
    """The candidate did something wrong; the text is for the record.

    Once rows were seen only `kind`, which the scorer has to know, and `line` of train.py count.
    """

    def __init__(self, text: str, kind: str = "", line: int = 0) -> None:
        super().__init__(text)
        self.kind, self.line = kind, line


def main() -> None:
    """Answer the scorer's requests until it closes the pipe."""
    read, write, shared = map(int, sys.argv[1:4])
    framework = _framework(sys.argv[4])
    with os.fdopen(read) as requests, os.fdopen(write, "w", buffering=1) as replies:

        def reply(**fields: Any) -> None:
            replies.write(json.dumps(fields) + "\n")

        device = os.environ.get("DEVICE") or framework.device()
        reply(device=device)
        hello = json.loads(requests.readline())
        try:
            serve = _server(hello, framework, device, shared)
            reply(built=True)
            for line in requests:
                serve(**json.loads(line))
                reply(done=True)
        except Fault as fault:
            reply(fault=str(fault), kind=fault.kind, line=fault.line)


def _framework(path: str) -> Any:
    """Import the file that knows the framework; with it comes the framework itself."""
    spec = importlib.util.spec_from_file_location("framework", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _server(hello: dict[str, Any], framework: Any, device: str, shared: int) -> Any:
    """Build the model and return the function that answers one request."""
    length, vocab_size = hello["sequence_len"], hello["vocab_size"]
    code = hello["code"]

    def blamed(what: str) -> Any:
        return _blamed(what, code, framework.ERRORS)

    sys.path.insert(0, code)
    with blamed("import of train.py"):
        build_model = getattr(importlib.import_module("train"), "build_model", None)
    if build_model is None:
        raise Fault("train.py has no function build_model(vocab_size, sequence_len)")
    with blamed("build_model"):
        model = build_model(vocab_size, sequence_len=length)
    if not framework.is_model(model):
        kind = type(model).__name__
        raise Fault(f"build_model returned {kind}, expected a {framework.MODEL}")
    with blamed("loading the weights"):
        _load(framework, model, hello["weights"])
    with blamed("moving the model to its device"):
        model = framework.place(model, device)
    memory = mmap.mmap(shared, hello["slots"] * hello["slot_bytes"])
    framework.share(memory, device)

    def serve(slot: int, rows: int) -> None:
        start = slot * hello["slot_bytes"]
        tokens = framework.tokens(memory, start, (rows, length), device)
        with blamed("forward"):
            logits = framework.forward(model, tokens)
        expected = (rows, length, vocab_size)
        if not framework.is_tensor(logits):
            raise Fault(
                f"the model returned {type(logits).__name__}, expected logits (B, T, V)",
                "no tensor",
            )
        if tuple(logits.shape) != expected:
            raise Fault(
                f"logits have the shape {tuple(logits.shape)}, expected {expected}", "shape"
            )
        if not framework.is_floating(logits):
            raise Fault(f"logits are {logits.dtype}, expected floating point numbers", "no numbers")
        with blamed("forward"):  # A device tells of a failed kernel only now.
            framework.write(logits, memory, start + hello["logits_at"])

    return serve


def _load(framework: Any, model: Any, path: str) -> None:
    """Load the weights; every tensor must be there, with the right shape, and no other."""
    wanted, given = framework.shapes(model), framework.read(path)
    wrong = [
        f"{name} {tuple(given[name].shape)}, expected {shape}"
        for name, shape in wanted.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    if wrong:
        raise Fault(f"weights have the wrong shape: {_few(wrong)}")
    missing, unexpected = framework.load(model, path)
    if missing:
        raise Fault(f"weights lack {_few(missing)}")
    if unexpected:
        raise Fault(f"weights have tensors that the model does not: {_few(unexpected)}")


def _few(names: list[str]) -> str:
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


@contextlib.contextmanager
def _blamed(what: str, code: str, named: tuple[type[BaseException], ...]) -> Any:
    """Turn whatever candidate code raises into a `Fault` with its last line and place.

    Its kind is a built-in exception or one of `named`.
    """
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
            if each.__module__ == "builtins" or each in named
        )
        line = next((at for file, at in reversed(places) if file == "train.py"), 0)
        raise Fault(f"{what} failed: {said}", next(known), line) from error


if __name__ == "__main__":
    main()
