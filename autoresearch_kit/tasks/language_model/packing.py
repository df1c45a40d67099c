"""From documents to rows of tokens: the tokeniser, and what `template/prepare.py` reads.

A prepared folder holds, for T = sequence length and V = vocabulary::

    meta.json          corpus, T, vocab_size, source, licence, sha256, rows, kept
    tokenizer.json     split pattern, special tokens, and every token's bytes
    token_bytes.npy    (V,) int32, length of each token in bytes; 0 for special tokens
    train/ val/ test/  rows.bin: (N, T + 1) uint16, and a meta.json

``train/`` has copies of the tokeniser's two files: it is all that an experiment gets to see.

Between the rows of ``val/`` and ``test/`` lie canaries, at the places that ``canaries`` in their
meta.json names: rows of random tokens, each at several places. Nothing predicts them but having
read them, so a model that does was trained on that file. They are never part of a score.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from autoresearch_kit.errors import DataError
from autoresearch_kit.files import locked, read_json
from autoresearch_kit.tasks.language_model.corpora import SHARDS, Corpus, corpus

Row = npt.NDArray[np.uint16]

FORMAT = 3  # part of every prepared folder's name; a new number makes everybody's data anew
BOS = "<|bos|>"
PATTERN = (  # GPT-4's, with numbers cut in twos: small vocabularies waste less on them
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
TOKENISER_CHARACTERS = 200_000_000  # of the training split; more doesn't change the merges
SPLITS = ("train", "val", "test")
CANARIES, COPIES = 2, 8  # one epoch over a file shows each canary often enough to be learnt


def cache_folder() -> Path:
    """Return where prepared data is shared between labs.

    ``$AUTORESEARCH_DATA``, else ``data/`` of the kit's checkout, else
    ``~/.cache/autoresearch-kit``.
    """
    if chosen := os.environ.get("AUTORESEARCH_DATA"):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").exists():
        return checkout / "data"
    return Path("~/.cache/autoresearch-kit").expanduser()


def prepare(
    spec: str | list[str], *, sequence_len: int, vocab_size: int, shards: int = SHARDS
) -> Path:
    """Make the prepared folder of a corpus, or find the one that was made before.

    Safe to repeat and to interrupt: the folder appears in one step when all of it is there.

    Parameters
    ----------
    spec, shards
        As for `corpora.corpus`.
    sequence_len
        T, tokens that a model sees at once.
    vocab_size
        V, tokens that the tokeniser knows; at most 65,536 because rows are uint16.

    Raises
    ------
    DataError
        The corpus can't be had, or is too small to split.
    """
    if not 260 <= vocab_size <= 65_536:
        raise DataError(f"vocab_size is {vocab_size}; rows are uint16, so choose 260 to 65536")
    cache = cache_folder()
    with locked(cache / ".lock"):
        text = corpus(spec, cache / "downloads", shards=shards)
        sizes = f"T{sequence_len}-V{vocab_size}"
        folder = cache / f"{text.name}-{sizes}-{text.fingerprint[:8]}-{FORMAT}"
        if (folder / "meta.json").exists():
            return folder
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
        try:
            _build(text, building, sequence_len, vocab_size)
            building.chmod(0o755)
            building.replace(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return folder


def train_tokeniser(texts: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """Learn byte-pair merges from `texts`; return the tokeniser as a JSON document.

    Special tokens come last, so that a token's number is its merge rank.
    """
    import rustbpe

    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(iter(texts), vocab_size - 1, pattern=PATTERN)
    ranked = sorted(learner.get_mergeable_ranks(), key=lambda pair: pair[1])
    tokens = [base64.b64encode(bytes(token)).decode("ascii") for token, _ in ranked]
    return {"pattern": PATTERN, "tokens": tokens, "special": {BOS: len(tokens)}}


def encoding(tokeniser: dict[str, Any]) -> Any:
    """Return the tiktoken encoding that a tokeniser document describes."""
    import tiktoken

    return tiktoken.Encoding(
        name="autoresearch",
        pat_str=tokeniser["pattern"],
        mergeable_ranks={base64.b64decode(t): rank for rank, t in enumerate(tokeniser["tokens"])},
        special_tokens=tokeniser["special"],
    )


def token_bytes(tokeniser: dict[str, Any]) -> npt.NDArray[np.int32]:
    """Return the length of each token in bytes, ``(V,)``; 0 for special tokens.

    Counted from raw bytes: a token may end inside a character, and decoding it would count
    the replacement character instead (as prepare.py of karpathy/autoresearch at 228791f does).
    """
    lengths = [len(base64.b64decode(token)) for token in tokeniser["tokens"]]
    return np.array(lengths + [0] * len(tokeniser["special"]), dtype=np.int32)


def pieces(tokens: list[int], bos: int, sequence_len: int) -> Iterator[list[int]]:
    """Yield a document's tokens in pieces of at most T, each with `bos` before it."""
    for start in range(0, len(tokens), sequence_len):
        yield [bos, *tokens[start : start + sequence_len]]


def pack(parts: Iterable[list[int]], capacity: int, buffer: int = 2_000) -> Iterator[list[int]]:
    """Yield rows of exactly `capacity` tokens from parts of at most that length.

    Best fit: of the parts at hand, a row takes the longest that still fits; when none does, the
    shortest is cut to fill it, and its rest waits as a part with the same first token. Every row
    starts with a part, there is no padding, and only what can't fill a last row is dropped.
    Parts are kept sorted by length, so a choice is one bisection.

    Notes
    -----
    The packing of karpathy/autoresearch at 228791f, prepare.py, which scans its buffer and drops
    what it cuts off: at T = 256 four fifths of long documents.
    """
    parts = iter(parts)
    waiting: list[tuple[int, int, list[int]]] = []
    serial = itertools.count()
    held = 0
    row: list[int] = []
    while True:
        while len(waiting) < buffer or held + len(row) < capacity:
            if (part := next(parts, None)) is None:
                break
            if len(part) == capacity:
                yield part
            else:
                insort(waiting, (len(part), next(serial), part))
                held += len(part)
        if held + len(row) < capacity:
            return
        room = capacity - len(row)
        at = bisect_right(waiting, room, key=lambda item: item[0]) - 1
        length, _, part = waiting.pop(max(at, 0))
        held -= length
        row += part[:room]
        if length > room:
            rest = [part[0], *part[max(room, 1) :]]
            insort(waiting, (len(rest), next(serial), rest))
            held += len(rest)
        if len(row) == capacity:
            yield row
            row = []


def _build(text: Corpus, folder: Path, sequence_len: int, vocab_size: int) -> None:
    """Write the prepared form of `text` into the empty `folder`."""
    label = f"{text.name}: learning {vocab_size} tokens"
    with tqdm(desc=label, unit="B", unit_scale=True, mininterval=0.5) as bar:
        tokeniser = train_tokeniser(_training_text(text, bar), vocab_size)
    if len(tokeniser["tokens"]) + 1 != vocab_size:
        raise DataError(
            f"the training text of {text.source} gives only {len(tokeniser['tokens']) + 1} tokens, "
            f"{vocab_size} were asked for; add text, or choose a smaller vocab_size"
        )
    (folder / "tokenizer.json").write_text(json.dumps(tokeniser))
    np.save(folder / "token_bytes.npy", token_bytes(tokeniser))

    rows, kept, canaries = _write_rows(text, folder, encoding(tokeniser), sequence_len)
    if short := [split for split in SPLITS if not rows[split]]:
        raise DataError(
            f"{text.source} is too little text: no row of {sequence_len} tokens is left for "
            f"{' and '.join(short)}; at least about {60 * sequence_len * 4 // 1000} kB are needed"
        )
    for split in SPLITS:
        meta = {"T": sequence_len, "vocab_size": vocab_size, "rows": rows[split], "split": split}
        if split in canaries:
            planted = sum(map(len, canaries[split]))
            meta |= {"rows": rows[split] + planted, "canaries": canaries[split]}
        (folder / split / "meta.json").write_text(json.dumps(meta))
    for name in ("tokenizer.json", "token_bytes.npy"):
        shutil.copy(folder / name, folder / "train" / name)
    meta = {
        "corpus": text.name,
        "T": sequence_len,
        "vocab_size": vocab_size,
        "source": text.source,
        "licence": text.licence,
        "sha256": text.sha256,
        "rows": rows,
        "kept": kept,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def _training_text(text: Corpus, bar: Any) -> Iterator[str]:
    seen = 0
    for document in text.documents("train"):
        yield document
        seen += len(document)
        bar.update(len(document))
        if seen > TOKENISER_CHARACTERS:
            return


def _write_rows(
    text: Corpus, folder: Path, code: Any, sequence_len: int
) -> tuple[dict[str, int], dict[str, float], dict[str, list[list[int]]]]:
    """Tokenise and pack each split; return rows, the share of tokens kept, and canaries."""
    rows: dict[str, int] = {}
    kept: dict[str, float] = {}
    canaries: dict[str, list[list[int]]] = {}
    bos = code.n_vocab - 1
    threads = os.cpu_count() or 1
    for split in SPLITS:
        (folder / split).mkdir()
        total = packed = count = 0

        def parts(split: str = split) -> Iterator[list[int]]:
            nonlocal total
            documents = text.documents(split)
            with tqdm(desc=f"{text.name}: {split}", unit="tok", unit_scale=True) as bar:
                while batch := list(itertools.islice(documents, 1024)):
                    for tokens in code.encode_ordinary_batch(batch, num_threads=threads):
                        total += len(tokens)
                        bar.update(len(tokens))
                        yield from pieces(tokens, bos, sequence_len)

        with (folder / split / "rows.bin").open("wb") as file:
            stream = pack(parts(), sequence_len + 1)
            while block := list(itertools.islice(stream, 4096)):
                array = np.array(block, dtype=np.uint16)
                packed += int((array != bos).sum())
                count += len(array)
                file.write(array.tobytes())
        if split != "train" and count:
            canaries[split] = _shuffle(folder / split / "rows.bin", sequence_len + 1, bos)
        rows[split] = count
        kept[split] = round(packed / max(total, 1), 4)
    return rows, kept, canaries


def _shuffle(path: Path, width: int, bos: int) -> list[list[int]]:
    """Put rows in a fixed random order with canaries between them; return where each canary lies.

    Packing leaves long parts first, and scores read the head. The canaries depend on the rows, so
    they are the same on every machine, and only who has the rows can know them.
    """
    rows = np.fromfile(path, dtype=np.uint16).reshape(-1, width)
    random = np.random.default_rng(list(hashlib.sha256(rows.tobytes()).digest()))
    canaries = random.integers(0, bos, (CANARIES, width), dtype=np.uint16)
    canaries[:, 0] = bos
    whole = np.empty((len(rows) + CANARIES * COPIES, width), dtype=np.uint16)
    places = random.choice(len(whole), (CANARIES, COPIES), replace=False)
    whole[places] = canaries[:, None]
    others = np.delete(np.arange(len(whole)), places)
    whole[others] = rows[np.random.default_rng(0).permutation(len(rows))]
    whole.tofile(path)
    return [sorted(map(int, each)) for each in places]


def summary(folder: Path) -> str:
    """Return one line about a prepared folder."""
    meta = read_json(folder / "meta.json") or {}
    rows = meta["rows"]
    tokens = ", ".join(f"{split} {rows[split] * meta['T']:,}" for split in SPLITS)
    return f"{meta['corpus']}: {tokens} tokens (T={meta['T']}, V={meta['vocab_size']}) in {folder}"
