#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""resolver.py ADDRESS PORT ANSWER: a name server that gives every A query the same answer, and
says "ready" on standard output once it listens."""
import socket
import struct
import sys


def reply(query, answer):
    ident, _, questions = struct.unpack("!HHH", query[:6])
    end = 12
    while query[end]:
        end += query[end] + 1
    question = query[12:end + 5]
    kind = struct.unpack("!H", query[end + 1:end + 3])[0]
    found = 1 if kind == 1 else 0
    header = struct.pack("!HHHHHH", ident, 0x8180, questions, found, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(answer)
    return header + question + (record if found else b"")


def main():
    address, port, answer = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, int(port)))
        print("ready", flush=True)
        while True:
            query, client = sock.recvfrom(4096)
            sock.sendto(reply(query, answer), client)


main()
