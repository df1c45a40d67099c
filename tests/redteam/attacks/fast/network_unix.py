"""Reach a server of this machine by a socket in the abstract name space, or a file."""

# ends: honest or crash
# admission: network
import contextlib
import socket

if __name__ == "__main__":
    found = []
    for name in ("\0@ABSTRACT@", "@UNIX@", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.settimeout(0.3)
            server.connect(name)
            found.append(server.recv(100))
    spread(found + loot())
