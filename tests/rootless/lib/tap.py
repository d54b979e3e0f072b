#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What CAP_NET_ADMIN of the namespace can try against the filter on slirp4netns's tap.

tap.py open FLAGS: opens tap0 as well (FLAGS: "single" or "multi") and takes the filter off; prints
"open" or the error.
tap.py persist: makes a persistent tap0, up, with slirp4netns's addresses.
tap.py ping ADDRESS: prints "answered" or "silent".
tap.py move SCRIPT: runs it in a new network namespace that tap0 has been moved to.
tap.py find: descriptors of slirp4netns that can be had through pidfd_getfd(2) or /proc."""
import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys

TUNSETIFF, TUNSETPERSIST, TUNDETACHFILTER = 0x400454CA, 0x400454CB, 0x401054D6
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE = 2, 0x1000, 0x100
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
CLONE_NEWNET = 0x40000000


def tap(flags):
    flags = IFF_TAP | IFF_NO_PI | (IFF_MULTI_QUEUE if flags == "multi" else 0)
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap0", flags))
    return fd


def second(flags):
    try:
        fcntl.ioctl(tap(flags), TUNDETACHFILTER, struct.pack("HxxxxxxQ", 0, 0))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"


def persist():
    fcntl.ioctl(tap("single"), TUNSETPERSIST, 1)
    subprocess.check_call("ip addr add 10.0.2.100/24 dev tap0 && ip link set tap0 up", shell=True)
    return "made"


def ping(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(1)
        try:
            sock.sendto(bytes((8, 0, 0, 0, 0, 0, 0, 1)), (address, 0))
            sock.recv(64)
        except OSError:
            return "silent"
    return "answered"


def move(script):
    away, moved = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        os.write(away[1], b"x")
        os.read(moved[0], 1)
        subprocess.check_call(f"ip link set tap0 up && {{ {script}; }}", shell=True)
        os._exit(0)
    os.close(away[1])
    os.read(away[0], 1)
    subprocess.check_call(["ip", "link", "set", "tap0", "netns", str(child)])
    os.write(moved[1], b"x")
    status = os.waitpid(child, 0)[1]
    sys.exit(status != 0)


def find():
    libc = ctypes.CDLL(None, use_errno=True)
    had = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read() != "slirp4netns\n":
                    continue
        except OSError:
            continue
        had.append("seen")
        pidfd = libc.syscall(SYS_PIDFD_OPEN, int(pid), 0)
        for number in range(64):
            if libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0) >= 0:
                had.append(f"{pid}:{number}")
    return " ".join(had) or "nothing"


print({"open": second, "persist": persist, "ping": ping, "find": find, "move": move}[sys.argv[1]](*sys.argv[2:]))
