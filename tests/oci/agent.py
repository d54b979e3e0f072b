#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other ends for the suite: who receives descriptors, who reaps, who plays systemd.

agent.py receive SOCKET     prints the text that came with one descriptor, and what the descriptor is
agent.py reap PIDFILE CMD…  runs CMD as a subreaper; says whether the process of PIDFILE is our child
agent.py systemd SOCKET RESULT
                            answers one call of runbuild-systemd; its job ends with RESULT
"""
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    server.settimeout(60)
    print("listening", flush=True)
    connection, _ = server.accept()
    connection.settimeout(60)
    return connection


def receive(path):
    text, fds, _, _ = socket.recv_fds(listen(path), 65536, 1)
    print(text.decode())
    print(os.readlink("/proc/self/fd/%d" % fds[0]) if fds else "no descriptor", flush=True)
    if "seccomp" in os.readlink("/proc/self/fd/%d" % fds[0]):
        return  # nobody listens any more: the kernel answers ENOSYS
    os.close(fds[0])


def reap(pid_file, *command):
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(pid_file) as file:
        pid = int(file.read())
    with open("/proc/%d/status" % pid) as file:
        parent = [line.split()[1] for line in file if line.startswith("PPid:")][0]
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    print("child of ours" if int(parent) == os.getpid() else "child of " + parent)
    print("signal %d" % os.WTERMSIG(status))


def aligned(data, n):
    return data + b"\0" * (-len(data) % n)


def string(data, text):
    return aligned(data, 4) + struct.pack("<I", len(text)) + text.encode() + b"\0"


def message(kind, serial, fields, body):
    head = struct.pack("<cBBBII", b"l", kind, 0, 1, len(body), serial)
    array = b""
    for code, form, value in fields:
        array = aligned(array, 8) + bytes([code, 1]) + form + b"\0"
        if form == b"u":
            array = aligned(array, 4) + struct.pack("<I", value)
        elif form == b"g":
            array += bytes([len(value)]) + value.encode() + b"\0"
        else:
            array = string(array, value)
    return aligned(head + struct.pack("<I", len(array)) + array, 8) + body


def exactly(connection, n):
    data = b""
    while len(data) < n:
        more = connection.recv(n - len(data))
        if not more:
            raise SystemExit("the caller has gone")
        data += more
    return data


def systemd(path, result):
    connection = listen(path)
    hello = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
    assert exactly(connection, len(hello)) == hello
    connection.sendall(b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n")
    head = exactly(connection, 16)
    body_len, serial, fields_len = struct.unpack("<III", head[4:16])
    fields = exactly(connection, fields_len + -fields_len % 8)
    body = exactly(connection, body_len)
    print("start" if b"StartTransientUnit" in fields else "set")
    words = [b"Slice", b"PIDs", b"Delegate", b"MemoryMax", b"AllowedCPUs", b"CollectMode"]
    print(" ".join(word.decode() for word in words if word in body))
    unit = body[4 : 4 + struct.unpack("<I", body[:4])[0]].decode()
    print(unit, flush=True)
    if result == "refused":
        text = string(b"", "Unit %s already exists." % unit)
        error = (4, b"s", "org.freedesktop.systemd1.UnitExists")
        connection.sendall(message(3, 1, [error, (5, b"u", serial), (8, b"g", "s")], text))
    elif b"SetUnitProperties" in fields:
        connection.sendall(message(2, 1, [(5, b"u", serial)], b""))
    else:
        for job, said in (("/other", "done"), ("/job/7", result)):
            gone = string(string(string(struct.pack("<I", 7), job), unit), said)
            signature = [(1, b"o", "/org/freedesktop/systemd1"), (3, b"s", "JobRemoved"),
                         (8, b"g", "uoss")]
            if job == "/job/7":
                reply = string(b"", job)
                connection.sendall(message(2, 2, [(5, b"u", serial), (8, b"g", "o")], reply))
            connection.sendall(message(4, 3, signature, gone))
    connection.recv(1)


if __name__ == "__main__":
    {"receive": receive, "reap": reap, "systemd": systemd}[sys.argv[1]](*sys.argv[2:])
