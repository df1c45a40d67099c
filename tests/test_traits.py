"""What is remembered of models and servers: a small file that may be lost or damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import traits
from autoresearch_kit.traits import Traits

SERVER, MODEL = "http://127.0.0.1:8080/v1", "qwen"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "autoresearch" / "models.json"


def test_nothing_is_known_at_first(memory: Path):
    assert traits.read(memory, SERVER, MODEL) == Traits()
    assert not memory.exists()


def test_what_was_learned_is_known_later_of_this_model_alone(memory: Path):
    traits.update(memory, SERVER, MODEL, dropped=("stream", "seed"), context=4096)
    traits.update(memory, SERVER, MODEL, dropped=("seed", "top_k"), prompt=(1000, 1200))
    known = traits.read(memory, SERVER, MODEL)
    assert known.dropped == ("stream", "seed", "top_k")
    assert (known.ratio, known.context, known.seen) == (1.2, 4096, 1200)
    assert traits.read(memory, SERVER, "llama") == Traits()
    assert traits.read(memory, "http://127.0.0.1:8081/v1", MODEL) == Traits()


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        (
            "https://me:s3cret@Gateway.example/team/v1?key=s3cret#x",
            "https://gateway.example/team/v1",
        ),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://host:99999/v1", ""),
        ("http://[::", ""),
    ],
)
def test_a_server_is_named_without_secrets(url: str, server: str):
    assert traits.server(url) == server


def test_the_ratio_follows_what_is_reported(memory: Path):
    for _ in range(20):
        traits.update(memory, SERVER, MODEL, prompt=(1000, 1300))
    assert traits.read(memory, SERVER, MODEL).ratio == pytest.approx(1.3)
    for _ in range(20):
        traits.update(memory, SERVER, MODEL, prompt=(1000, 900))
    assert traits.read(memory, SERVER, MODEL).ratio == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("prompt", [(1000, 100), (1000, 9000), (20, 50), (0, 10)])
def test_numbers_that_mean_something_else_teach_nothing(prompt: tuple[int, int], memory: Path):
    assert traits.update(memory, SERVER, MODEL, prompt=prompt).ratio is None


def test_a_longer_prompt_than_it_had_room_for_lifts_the_limit(memory: Path):
    traits.update(memory, SERVER, MODEL, context=2048)
    traits.update(memory, SERVER, MODEL, prompt=(2000, 2000))
    assert traits.read(memory, SERVER, MODEL).context == 2048
    traits.update(memory, SERVER, MODEL, prompt=(3000, 3000))
    assert traits.read(memory, SERVER, MODEL).context is None


def test_what_a_server_refused_is_forgotten_after_half_a_day(
    memory: Path, monkeypatch: pytest.MonkeyPatch
):
    traits.update(memory, SERVER, MODEL, context=2048, dropped=("seed",))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 11 * 3600)
    known = traits.update(memory, SERVER, MODEL, dropped=("seed",))  # nothing new
    assert (known.context, known.dropped) == (2048, ("seed",))
    monkeypatch.setattr(time, "time", lambda: now + 13 * 3600)
    assert traits.read(memory, SERVER, MODEL) == Traits()


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"%s": 3}', b"[" * 100_000],
)
def test_a_damaged_file_is_begun_anew(damage: bytes, memory: Path):
    memory.parent.mkdir()
    memory.write_bytes(damage)
    assert traits.read(memory, SERVER, MODEL) == Traits()
    traits.update(memory, SERVER, MODEL, dropped=("stream",))
    assert traits.read(memory, SERVER, MODEL).dropped == ("stream",)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ENTRY = ("dropped", "dropped_since", "ratio", "context", "context_since", "seen", "replies")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRY, anything)))
def test_an_entry_of_any_kind_can_be_read_and_written_over(entry: dict[str, Any]):
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder, "models.json")
        memory.write_text(json.dumps({SERVER: {MODEL: entry}}))
        known = traits.read(memory, SERVER, MODEL)
        assert traits.preferred(known) in ("blocks", "file")
        changed = traits.update(memory, SERVER, MODEL, reply=("blocks", True), prompt=(500, 600))
        assert traits.read(memory, SERVER, MODEL) == changed


def test_a_folder_that_can_t_be_written_loses_the_memory_only(tmp_path: Path):
    (tmp_path / "file").write_text("")
    memory = tmp_path / "file" / "models.json"
    assert traits.update(memory, SERVER, MODEL, dropped=("seed",)).dropped == ("seed",)
    assert traits.read(memory, SERVER, MODEL) == Traits()


def test_several_processes_add_to_one_file(memory: Path):
    code = f"""
import sys
import tempfile
import time
from pathlib import Path
from autoresearch_kit import traits
for n in range(40):
    for model in (sys.argv[1], "shared"):
        learned = (f"{{sys.argv[1]}}{{n}}",)
        traits.update(Path({str(memory)!r}), {SERVER!r}, model, dropped=learned)
"""
    names = ("a", "b", "c")
    started = [subprocess.Popen([sys.executable, "-c", code, name]) for name in names]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(traits.read(memory, SERVER, "shared").dropped) == 120
    assert all(len(traits.read(memory, SERVER, name).dropped) == 40 for name in names)


# Which form to ask for


def asked(memory: Path, blocks: float, file: float, replies: int, seed: int) -> list[str]:
    """Return the forms that a model is asked for which fails so often in each of the two."""
    random.seed(seed)
    fails = {"blocks": blocks, "file": file}
    forms = []
    for _ in range(replies):
        form = traits.preferred(traits.read(memory, SERVER, MODEL))
        forms.append(form)
        traits.update(memory, SERVER, MODEL, reply=(form, random.random() >= fails[form]))
    return forms


def test_a_model_is_asked_for_blocks_until_two_of_them_failed(memory: Path):
    for good in (True, False):
        traits.update(memory, SERVER, MODEL, reply=("blocks", good))
    assert traits.preferred(traits.read(memory, SERVER, MODEL)) == "blocks"
    traits.update(memory, SERVER, MODEL, reply=("blocks", False))
    assert traits.preferred(traits.read(memory, SERVER, MODEL)) == "file"


@pytest.mark.parametrize("seed", range(3))
def test_a_weak_model_writes_whole_files_soon_and_mostly(seed: int, memory: Path):
    forms = asked(memory, blocks=0.9, file=0.1, replies=80, seed=seed)
    assert "file" in forms[:5]
    assert forms.count("file") >= 70
    assert "blocks" in forms[20:]  # now and then it gets another chance


@pytest.mark.parametrize("seed", range(3))
def test_a_strong_model_keeps_to_blocks(seed: int, memory: Path):
    assert asked(memory, blocks=0.05, file=0.0, replies=60, seed=seed).count("blocks") >= 54


def test_a_model_that_fails_in_both_forms_is_asked_for_the_shorter_one(memory: Path):
    forms = asked(memory, blocks=0.9, file=0.9, replies=80, seed=0)
    assert forms.count("blocks") >= 25


def test_a_model_that_learned_blocks_comes_back_to_them(memory: Path):
    asked(memory, blocks=1.0, file=0.0, replies=20, seed=0)
    forms = asked(memory, blocks=0.0, file=0.0, replies=60, seed=0)
    assert forms[-20:] == ["blocks"] * 20
