"""Let grandchildren in sessions of their own do the work."""

# ends: honest or crash
# admission: lets it in
# cpu: 1.5
import time

if __name__ == "__main__":
    used = os.open(
        os.path.join(os.environ["RUN_DIR"], "used.txt"), os.O_CREAT | os.O_APPEND | os.O_WRONLY
    )
    clock = Clock()
    progress = clock.start()
    begin = time.monotonic()
    while progress < 1 and time.monotonic() - begin < 4:
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                first = time.process_time()
                while time.process_time() - first < 0.1:
                    pass
                os.write(used, f"{time.process_time() - first:.4f}\n".encode())
            os._exit(0)
        os.wait()
        time.sleep(0.11)
        progress = clock.tick(1, 1.0)
    while progress < 1:
        progress = clock.tick(1, 1.0)
    Path(os.environ["RUN_DIR"], "dictionary").write_bytes(b"x")
    os._exit(0)
