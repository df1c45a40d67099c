"""Shrink, grow and rewrite the memory that is shared with the scorer, while it reads."""

# ends: honest or crash
# stage: score
# admission: lets it in
import contextlib
import os
import threading
import time

if __name__ != "__main__":

    def race():
        while True:
            time.sleep(0.01)
            for number in range(3, 40):
                with contextlib.suppress(OSError):
                    if "memfd" in os.readlink(f"/proc/self/fd/{number}"):
                        size = os.fstat(number).st_size
                        if size:
                            os.pwrite(number, b"\0" * 4096, size // 2)
                            os.ftruncate(number, size + 4096)

    threading.Thread(target=race, daemon=True).start()
