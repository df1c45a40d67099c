"""Find the memory that is shared with the scorer, and write into it while it reads."""

# ends: honest or crash or quarantine
# stage: score
# only: acceptance
# admission: lets it in
import contextlib
import gc
import mmap
import os
import threading
import time

if __name__ != "__main__":

    def race():
        while True:
            time.sleep(0.01)
            for memory in [x for x in gc.get_objects() if isinstance(x, mmap.mmap)]:
                for at in range(0, len(memory) - 8, 1 << 16):
                    memory[at : at + 8] = (7).to_bytes(8, "little")
            for number in range(3, 40):
                with contextlib.suppress(OSError):
                    if "memfd" in os.readlink(f"/proc/self/fd/{number}"):
                        os.pwrite(number, b"\0" * 4096, os.fstat(number).st_size // 2)
                        os.ftruncate(number, os.fstat(number).st_size + 4096)

    threading.Thread(target=race, daemon=True).start()
