"""Use more memory than there is for a run."""

# ends: crash
# admission: lets it in
# says: out of memory|MemoryError|memory
import time

if __name__ == "__main__":
    taken = [b"x" * (50 << 20) for _ in range(16)]
    time.sleep(1.5)
    print(len(taken))
