#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# What a step must not reach: services on the host's loopback, on its outer
# address, and on an abstract socket. A resolver on 127.0.0.53 answers anything.
import socket
import threading


def serve(sock, text):
    while True:
        peer, _ = sock.accept()
        peer.sendall(text)
        peer.close()


def resolve(sock):
    while True:
        question, peer = sock.recvfrom(512)
        answer = question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:]
        answer += b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"
        sock.sendto(answer, peer)


def start(target, *args):
    threading.Thread(target=target, args=args, daemon=False).start()


for host, port in (("127.0.0.1", 9001), ("198.51.100.5", 9003), ("0.0.0.0", 9004)):
    tcp = socket.socket()
    tcp.bind((host, port))
    tcp.listen()
    start(serve, tcp, b"SERVICE\n")
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0runbuild-stepnet")
abstract.listen()
start(serve, abstract, b"SERVICE\n")
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("127.0.0.53", 53))
start(resolve, dns)
print("up", flush=True)
