"""Leave a process that changes the dictionary when the run has ended."""

# ends: honest
# admission: lets it in
import sys
import time

if __name__ == "__main__":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            out = os.path.join(os.environ["RUN_DIR"], "dictionary")
            os.execv(
                sys.executable,
                [
                    sys.executable,
                    "-c",
                    f"import time\nwhile 1:\n time.sleep(0.2)\n open({out!r}, 'wb')",
                    "@MARK@",
                ],
            )
        os._exit(0)
    os.wait()
