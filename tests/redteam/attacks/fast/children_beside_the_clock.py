"""Let short children that nobody waits for do the work, unseen by the CPU clock."""

# ends: honest or crash
# admission: lets it in
# cpu: 1.5
import signal
import time

if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    used = os.open(
        os.path.join(os.environ["RUN_DIR"], "used.txt"), os.O_CREAT | os.O_APPEND | os.O_WRONLY
    )
    clock = Clock()
    progress = clock.start()
    begin = time.monotonic()
    while progress < 1 and time.monotonic() - begin < 4:
        if os.fork() == 0:
            first = time.process_time()
            while time.process_time() - first < 0.08:
                pass
            os.write(used, f"{time.process_time() - first:.4f}\n".encode())
            os._exit(0)
        time.sleep(0.09)
        progress = clock.tick(1, 1.0)
    while progress < 1:
        progress = clock.tick(1, 1.0)
    Path(os.environ["RUN_DIR"], "dictionary").write_bytes(b"x")
    os._exit(0)
