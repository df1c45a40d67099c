"""Kill every process that can be seen, itself at last."""

# ends: crash
# admission: lets it in
# says: killed 5 times
import signal

if __name__ == "__main__":
    for pid in range(1, 40_000):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGKILL)
