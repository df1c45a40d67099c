"""Tie files of the run to files outside, so that what changes here changes there."""

# ends: honest or crash
# admission: lets it in
import contextlib
import sys

if __name__ == "__main__":
    run, data = os.environ["RUN_DIR"], os.environ["DATA_DIR"]
    for i, target in enumerate(
        (*sorted(Path(data).glob("*"))[:2], "@PACKAGE@/guard/sitecustomize.py", sys.executable)
    ):
        with contextlib.suppress(OSError):
            os.link(target, f"{run}/tied{i}")
            open(f"{run}/tied{i}", "a").write("@MARK@")
        with contextlib.suppress(OSError):
            os.symlink("@HOST@", f"{run}/away{i}")
            os.symlink("@HOST@/data/train", f"{run}/dictionary{i}")
