"""A lab: a new git repository, made from a task's template."""

from __future__ import annotations

import dataclasses
import importlib
import secrets
import shutil
from pathlib import Path

from autoresearch_kit import git, render
from autoresearch_kit import task as tasks
from autoresearch_kit.campaign import tags
from autoresearch_kit.errors import LabError, TaskError
from autoresearch_kit.task import Task

TASKS = Path(__file__).parent / "tasks"


@dataclasses.dataclass(frozen=True)
class Lab:
    """A host that the kit made.

    Attributes
    ----------
    path
        Its folder, an ordinary git repository.
    """

    path: Path

    @property
    def task(self) -> Task:
        """The contract of its last commit; a campaign fixes its own copy."""
        content = git.read_file(self.path, "HEAD", tasks.FILE)
        if content is None:
            raise LabError(f"{self.path} has no {tasks.FILE} in its last commit")
        return tasks.parse(content)

    def _summary(self) -> dict[str, object]:
        return {
            "lab": self.path,
            "task": f"{self.task.name}, profile {self.task.profile or 'none'}, "
            f"each run: {self.task.budget}",
            "campaigns": ", ".join(sorted(tags(self.path))) or "none yet",
        }

    def __repr__(self) -> str:
        rows = self._summary()
        return f"<Lab {rows['lab']}: {rows['task']}; campaigns: {rows['campaigns']}>"

    def _repr_html_(self) -> str:
        return render.card(self._summary())


def new_lab(
    path: str | Path,
    *,
    task: str,
    profile: str | None = None,
    data: str | list[str] | None = None,
) -> Lab:
    """Make a lab from a task's template, or open it when it exists.

    Parameters
    ----------
    path
        A folder that is empty or doesn't exist, or a lab made before.
    task
        The name of a task that comes with the kit.
    profile
        The sizes; chosen from the device unless given.
    data
        The data to train on, in the task's own words (a corpus, or your files).

    Raises
    ------
    LabError
        When the folder holds something else, or a lab of another task or profile.
    TaskError
        When the task or the profile is unknown.
    DataError
        When the data can't be had.
    """
    folder = Path(path).expanduser().resolve()
    if task not in (known := task_names()):
        raise TaskError(f"there is no task {task!r}; there are: {', '.join(known)}")
    if folder.is_file():
        raise LabError(f"{folder} is a file; give a folder that is empty or doesn't exist")
    if folder.is_dir() and any(folder.iterdir()):
        return _open(folder, task, profile, data)

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and renamed, so that an interrupted call leaves no half lab.
    making = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        shutil.copytree(TASKS / task / "template", making)
        git.init(making)
        git.identity(making)
        module = importlib.import_module(f"autoresearch_kit.tasks.{task}")
        module.prepare_lab(making, profile=profile, data=data)
        git.commit_all(making, f"Lab for {task}")
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Lab(folder)


def task_names() -> list[str]:
    """Return the names of the tasks that come with the kit."""
    return sorted(p.parent.name for p in TASKS.glob("*/template"))


def _open(folder: Path, name: str, profile: str | None, data: str | list[str] | None) -> Lab:
    made = folder / tasks.FILE
    if not made.exists() or not (folder / ".git").exists():
        raise LabError(
            f"{folder} is not empty and not a lab. Give a new folder; or, to use your own "
            f"repository as it is: ark.open_campaign({str(folder)!r}, tag=..., edit=..., "
            "train=..., metric=...)"
        )
    lab = Lab(folder)
    if lab.task.name not in task_names():
        raise LabError(
            f"{folder} has a task of its own, {lab.task.name}. To use it as it is: "
            f"ark.open_campaign({str(folder)!r}, tag=...); for a lab give a new folder."
        )
    if lab.task.name != name or profile not in (None, lab.task.profile):
        raise LabError(
            f"{folder} is a lab for {lab.task.name} with profile {lab.task.profile!r}; "
            f"give another folder for {name}{f' with profile {profile!r}' if profile else ''}."
        )
    made_of = lab.task.options.get("data") or lab.task.options.get("corpus")
    if data is not None and made_of not in (data, _absolute(data)):
        raise LabError(
            f"{folder} was made with data={made_of!r}; give another folder for data={data!r}"
        )
    return lab


def _absolute(data: str | list[str]) -> str | list[str]:
    if isinstance(data, str):
        return str(Path(data).absolute())
    return [str(Path(one).absolute()) for one in data]
