#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The two ends of a published port.

forward.py serve PORT [ADDRESS]: TCP and UDP on PORT of 127.0.0.1 or ADDRESS; says "ready". TCP: the first line says
what is done: "peer" sends the client's address; "count" reads to the end, then sends the number
of bytes and their sum, so it needs a half-closed connection; "flood N" sends N bytes; "reset"
resets. UDP: each datagram comes back with the peer's address in front of it.

forward.py ask FROM TO PORT LINE: prints the answer to LINE, or the error.
forward.py count FROM TO PORT N: sends N bytes, closes that direction, checks the answer.
forward.py flood FROM TO PORT N: reads N bytes slowly at first.
forward.py many TO PORT N: N connections at once; all have to be answered.
forward.py udp FROM TO PORT N: N clients, three datagrams each; prints the first peer."""
import hashlib
import socket
import struct
import sys
import threading
import time


def tcp_one(client, peer):
    with client:
        file = client.makefile("rb")
        words = file.readline().split()
        if words == [b"peer"]:
            client.sendall(f"{peer[0]}\n".encode())
        elif words == [b"count"]:
            data = file.read()
            client.sendall(f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode())
        elif words and words[0] == b"flood":
            client.sendall(b"x" * int(words[1]))
        elif words == [b"reset"]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def udp_serve(sock):
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(peer[0].encode() + b" " + data, peer)


def serve(port, address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, int(port)), family=family, backlog=1024)
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.bind((address, int(port)))
    threading.Thread(target=udp_serve, args=(datagrams,), daemon=True).start()
    print("ready", flush=True)
    while True:
        threading.Thread(target=tcp_one, args=server.accept(), daemon=True).start()


def connect(source, address, port):
    return socket.create_connection((address, int(port)), timeout=30, source_address=(source, 0))


def ask(source, address, port, line):
    try:
        with connect(source, address, port) as sock:
            sock.sendall(line.encode() + b"\n")
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        print(answer.decode(), end="")
    except OSError as error:
        print(error)


def count(source, address, port, size):
    data = bytes(range(251)) * (int(size) // 251 + 1)
    with connect(source, address, port) as sock:
        sock.sendall(b"count\n" + data)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.makefile().read()
    same = answer == f"{len(data)} {hashlib.sha256(data).hexdigest()}\n"
    print("same" if same else f"{len(data)} bytes came as {answer!r}")


def flood(source, address, port, size):
    with connect(source, address, port) as sock:
        sock.sendall(f"flood {size}\n".encode())
        time.sleep(0.3)  # the server has filled every buffer on the way by now
        received = 0
        while chunk := sock.recv(1 << 20):
            received += len(chunk)
    print(received)


def many(address, port, number):
    socks = [connect("", address, port) for _ in range(int(number))]
    for sock in socks:
        sock.sendall(b"peer\n")
    answered = 0
    for sock in socks:
        with sock:
            answered += sock.recv(64) != b""
    print(answered)


def udp(source, address, port, number):
    clients = []
    for _ in range(int(number)):
        sock = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(10)
        sock.bind((source, 0))
        clients.append(sock)
    first = None
    for turn in range(3):
        for i, sock in enumerate(clients):
            text = f"{turn} {i}".encode()
            sock.sendto(text, (address, int(port)))
            answer, peer = sock.recvfrom(65536)
            if not answer.endswith(b" " + text) or peer[:2] != (address, int(port)):
                sys.exit(f"{text!r} was answered with {answer!r} by {peer}")
            first = first or answer.split()[0].decode()
    print(first)


globals()[sys.argv[1]](*sys.argv[2:])
