#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ping.py ADDRESS: one echo request as icmp(7) lets everybody send it, without any capability."""
import socket
import struct
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
sock.settimeout(10)
# the kernel fills in checksum and identifier
sock.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, 1) + b"runbuild", (sys.argv[1], 0))
answer = sock.recv(1024)
print("answered" if answer[0] == 0 and answer.endswith(b"runbuild") else "garbage")
