#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tcp.py serve ADDRESS PORT TEXT: sends TEXT and the client's address to each client; says
"ready" once it listens, and each client's address. tcp.py get ADDRESS PORT: prints what the server sends, or the error."""
import socket
import sys


def serve(address, port, text):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, int(port)), family=family) as server:
        print("ready", flush=True)
        while True:
            client, peer = server.accept()
            print("client", peer[0], flush=True)
            try:
                with client:
                    client.sendall(f"{text} {peer[0]}\n".encode())
            except OSError:
                pass  # one that has gone already


def get(address, port):
    try:
        with socket.create_connection((address, int(port)), timeout=10) as sock:
            received = b""
            while chunk := sock.recv(4096):
                received += chunk
        print(received.decode(), end="")
        return 0 if received else 1
    except OSError as error:
        print(error)
        return 1


sys.exit(serve(*sys.argv[2:]) if sys.argv[1] == "serve" else get(*sys.argv[2:]))
