"""Fill the disk in folders so deep that a path to them is too long to be looked at."""

# ends: crash
# admission: lets it in
# says: wrote too much|File too large|No space left
import time

if __name__ == "__main__":
    os.chdir(os.environ["RUN_DIR"])
    for _ in range(100):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    for i in range(3):
        handle = os.open(f"big{i}", os.O_CREAT | os.O_WRONLY)
        os.posix_fallocate(handle, 0, 3 << 30)
    os.chdir(os.environ["CODE_DIR"])
    time.sleep(4)
