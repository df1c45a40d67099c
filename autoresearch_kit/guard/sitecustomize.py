"""Loaded by Python at start in a training process: reports imports that bypass the experiment.

An editable install can make ``import model`` find the checkout's file instead of the experiment's
changed copy; the run would then measure unchanged code. At exit this writes what was imported from
elsewhere to ``RUN_DIR/foreign-imports.json``. It is help for honest code, not a defence.
"""

import atexit
import json
import os
import sys
from pathlib import Path


def _foreign() -> list[str]:
    """Return files of loaded modules that stand in for an ``edit`` file of the experiment."""
    real = os.path.realpath
    code, host = real(os.environ["CODE_DIR"]), real(os.environ["HOST_DIR"])
    edit = json.loads(os.environ["EDIT_FILES"])
    dotted = [path.removesuffix(".py").removesuffix("/__init__").split("/") for path in edit]
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or real(file).startswith(code + os.sep):
            continue
        parts = name.split(".")
        # A lone name ("train") may well be somebody else's module; a dotted one hardly.
        copied = len(parts) > 1 and any(parts == path[-len(parts) :] for path in dotted)
        if copied or os.path.relpath(real(file), host) in edit:
            found.append(file)
    return found


def _report() -> None:
    if found := _foreign():
        text = json.dumps(found[:8])
        Path(os.environ["RUN_DIR"], "foreign-imports.json").write_text(text, encoding="utf-8")


def _next_sitecustomize() -> None:
    """Load the sitecustomize that this one hides, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    own = str(Path(__file__).resolve().parent)
    others = [path for path in sys.path if os.path.realpath(path or ".") != own]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if {"CODE_DIR", "HOST_DIR", "EDIT_FILES", "RUN_DIR"} <= os.environ.keys():
    atexit.register(_report)
_next_sitecustomize()
