"""Coding agents that `Command` is known to work with."""

from __future__ import annotations

import shutil

from autoresearch_kit import sandbox

_AGENTS = {
    "claude": "claude -p --permission-mode acceptEdits",
    "codex": "codex exec --sandbox MODE -",
    "gemini": "gemini --skip-trust --approval-mode auto_edit",
    "opencode": "opencode run {prompt}",
    "cursor-agent": "cursor-agent -p --force {prompt}",
    "copilot": "copilot --allow-all-tools -p {prompt}",
    "aider": "aider --yes-always --message-file {prompt_file} {edit}",
    "goose": "goose run -i {prompt_file}",
    "qwen": "qwen --approval-mode auto-edit",
}
"""Program → how its documentation runs it once, without questions (November 2026)."""


def found() -> list[str]:
    """Return the coding agents on PATH, as calls to type: ``"ark.Command('claude -p …')"``."""
    # In our sandbox theirs can't be made; without ours it is all there is.
    mode = "workspace-write" if sandbox.unavailable() else "danger-full-access"
    here = [command for program, command in _AGENTS.items() if shutil.which(program)]
    return [f"ark.Command({command.replace('MODE', mode)!r})" for command in here]
