"""What is installed, and from where: pyproject, constraints, environment.yml and the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import autoresearch_kit

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {"torch": "pytorch"}
PIP_ONLY = {"rustbpe"}


def requirements(*groups: str) -> list[Requirement]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][g] for g in groups)]
    return [Requirement(line) for names in lists for line in names]


def in_version_control() -> list[Path]:
    """Tracked files, and new ones that would be added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in sorted(set(done.stdout.split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def test_environment_yml_asks_for_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    python = f"python{PROJECT['requires-python']}"
    expected = {
        CONDA_NAMES.get(r.name, r.name) + str(r.specifier)
        for r in requirements()
        if r.name not in PIP_ONLY
    }

    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert sorted(conda) == sorted({python, "pip", *expected})
    assert last["pip"][-1] == "-e ."
    assert last["pip"][:-1] == [str(r) for r in requirements() if r.name in PIP_ONLY]


def test_constraints_pin_every_dependency_within_its_range():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(p.name): str(p.specifier).removeprefix("==") for p in pins}

    assert all(re.fullmatch(r"==[\w.]+", str(p.specifier)) and not p.url for p in pins)
    assert len(versions) == len(pins), "a package is pinned twice"
    for wanted in requirements("test", "kernel", "mlx"):
        pinned = versions.get(canonicalize_name(wanted.name))
        assert pinned is not None, f"{wanted.name} is not pinned"
        assert wanted.specifier.contains(pinned), f"{wanted} against {pinned}"


def test_every_dependency_has_a_lower_bound_and_no_upper_one():
    for wanted in requirements("test", "kernel", "mlx"):
        assert [s.operator for s in wanted.specifier] == [">="], wanted


def test_the_interpreter_in_use_is_one_that_pyproject_allows():
    lowest = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert sys.version_info >= lowest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py{}{}".format(*lowest)
    assert PYPROJECT["tool"]["mypy"]["python_version"] == "{}.{}".format(*lowest)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as pip builds it (slow, about 3 s), from a copy: setuptools litters its source."""
    source = tmp_path_factory.mktemp("source")
    for path in in_version_control():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", out, source], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_whole_package(wheel: zipfile.ZipFile):
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = ROOT / "autoresearch_kit"
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in in_version_control()
        if path.is_relative_to(package)
    }
    assert shipped == tracked


def test_the_version_is_the_same_everywhere(wheel: zipfile.ZipFile):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = wheel.read(name).decode()
    assert f"\nVersion: {autoresearch_kit.__version__}\n" in metadata
    assert f"\n## {autoresearch_kit.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    # Assembled, so that this file does not find itself.
    places = ["/" + place for place in ("root/", "home/", "Users/", "work/", "opt/pypi", "tmp/dev")]
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in in_version_control()
        if path.suffix not in {".png", ".bundle", ".npz", ".gz"}
        for place in places
        # A home inside a longer path or URL (github.com/home/...) is somebody else's.
        if re.search(rf"(?<![\w.]){re.escape(place)}", path.read_text(errors="replace"))
    ]
    assert not found
