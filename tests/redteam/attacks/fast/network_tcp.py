"""Reach a server of this machine by TCP and UDP, and the internet by name."""

# ends: honest or crash
# admission: network
import contextlib
import socket

if __name__ == "__main__":
    found = b""
    for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", socket.gethostname(), "10.0.2.2"):
        with contextlib.suppress(OSError):
            with socket.create_connection((host, int("@PORT@")), timeout=0.3) as server:
                found += server.recv(100)
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", (host, int("@PORT@")))
    with contextlib.suppress(OSError):
        socket.setdefaulttimeout(0.5)
        found += str(socket.getaddrinfo("example.org", 80)).encode()
    spread([found] + loot())
