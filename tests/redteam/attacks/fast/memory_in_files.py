"""Keep more than a run may use in files that lie in memory."""

# ends: crash
# admission: lets it in
# says: out of memory|MemoryError|memory|No space left|too much
import time

if __name__ == "__main__":
    for place in ("/dev/shm", "/tmp"):
        with open(f"{place}/big", "wb") as file:
            for _ in range(8):
                file.write(b"x" * (50 << 20))
    time.sleep(1.5)
