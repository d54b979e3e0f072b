#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""notify.py CMD...: runs CMD with an abstract NOTIFY_SOCKET and prints the first message.
notify.py --send TEXT: sends TEXT there."""
import os
import socket
import subprocess
import sys


def main():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if sys.argv[1] == "--send":
            name = os.environ["NOTIFY_SOCKET"]
            sock.sendto(sys.argv[2].encode(), name.replace("@", "\0", 1))
            return
        name = f"runbuild-notify-{os.getpid()}"
        sock.bind("\0" + name)
        sock.settimeout(20)
        with subprocess.Popen(sys.argv[1:], env={**os.environ, "NOTIFY_SOCKET": "@" + name}) as child:
            print(sock.recv(4096).decode(), end="", flush=True)
        sys.exit(child.returncode)


main()
