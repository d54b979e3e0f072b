#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""api.py SOCKET METHOD PATH [BODY]: one request; prints the status and the body.
api.py SOCKET RAW TEXT: sends TEXT. api.py SOCKET HOLD N: N connections that say nothing."""
import socket
import sys


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)  # without a timeout it waits for a place in the queue
    sock.settimeout(20)
    return sock


def exchange(path, text):
    with connect(path) as sock:
        sock.sendall(text)
        reply = b""
        while chunk := sock.recv(65536):
            reply += chunk
    head, _, body = reply.decode().partition("\r\n\r\n")
    return f"{head.split(' ')[1]} {body}".strip()


def main():
    path, method = sys.argv[1:3]
    if method == "RAW":
        print(exchange(path, sys.argv[3].encode().decode("unicode_escape").encode()))
    elif method == "HOLD":
        held = [connect(path) for _ in range(int(sys.argv[3]))]
        for sock in held:
            sock.close()
    else:
        body = sys.argv[4] if len(sys.argv) > 4 else ""
        print(exchange(path, f"{method} {sys.argv[3]} HTTP/1.1\r\nHost: x\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n{body}".encode()))


main()
