"""Fill the disk with as much as fits into the time."""

# ends: crash
# only: acceptance
# admission: lets it in
# says: wrote too much|File too large|No space left
import time

if __name__ == "__main__":
    for i in range(3):
        handle = os.open(os.path.join(os.environ["RUN_DIR"], f"big{i}"), os.O_CREAT | os.O_WRONLY)
        os.posix_fallocate(handle, 0, 3 << 30)
    time.sleep(4)
