"""Reach a server of this machine, in training and where it is measured."""

# ends: honest or crash
# admission: network
# only: acceptance
import contextlib
import socket

for _host in ("127.0.0.1", "localhost", "::1"):
    with contextlib.suppress(OSError):
        with socket.create_connection((_host, int("@PORT@")), timeout=0.3) as _server:
            spread([_server.recv(100)])
with contextlib.suppress(OSError):
    with socket.socket(socket.AF_UNIX) as _server:
        _server.connect("@UNIX@")
        spread([_server.recv(100)])
