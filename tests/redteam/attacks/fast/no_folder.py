"""Remove the run's folder and put something else in its place."""

# ends: crash
# only: acceptance
# admission: lets it in
import contextlib
import shutil

if __name__ == "__main__":
    learn([b"x"], Clock())
    run = os.environ["RUN_DIR"]
    shutil.rmtree(run, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rename(run, f"{run}-gone")
        os.symlink("@HOST@", run)
    os._exit(0)
