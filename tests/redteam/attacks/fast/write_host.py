"""Change the host: its files, hooks, settings, refs; the data; other runs; the kit; the home."""

# ends: honest or crash
# admission: lets it in
import contextlib
import shutil

if __name__ == "__main__":
    run = os.environ["RUN_DIR"]
    for place in (
        *("@HOST@", "@HOST@/.git", "@HOST@/.git/hooks", "@DATA@", "@DATA@/val", "@STATE@"),
        *("@STATE@/runs/0000-0/out", f"{run}/..", f"{run}/../../0001-0", "@PACKAGE@", "@HOME@"),
        *("@PACKAGE@/guard", "@PACKAGE@/__pycache__", "/", "/etc", "/usr/lib", "/var/tmp"),
        *("@HOME@/.config", "@HOST@/.git/refs/heads", os.environ["DATA_DIR"], "/run", "/proc/sys"),
    ):
        for name in ("@MARK@", "judge.py", "config", "post-checkout", "HEAD", "status.json"):
            with contextlib.suppress(OSError):
                with open(f"{place}/{name}", "a") as file:
                    file.write("@MARK@")
        for name in ("train", "val", "0000-0", "objects", "admission.py"):
            with contextlib.suppress(OSError):
                os.rename(f"{place}/{name}", f"{place}/gone")
            shutil.rmtree(f"{place}/{name}", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.chmod(place, 0o777)
            os.utime(place, (0, 0))
