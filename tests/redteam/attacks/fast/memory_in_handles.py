"""Keep more than a run may use in memory files without a name."""

# ends: crash
# admission: lets it in
# says: out of memory|MemoryError|memory|No space left
import time

if __name__ == "__main__":
    kept = []
    for _ in range(16):
        kept.append(os.memfd_create("big"))
        os.write(kept[-1], b"x" * (50 << 20))
    time.sleep(1.5)
