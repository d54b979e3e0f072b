#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The caller's side of a terminal, as BuildKit, a user's shell and conmon are.

  terminal.py own [--size RxC] [--resize RxC] [--send TEXT] [--after TEXT] -- COMMAND...
      runs COMMAND with a terminal as 0, 1 and 2 and prints what comes out. After
      the first line (or the text --after) it changes the size and sends SIGWINCH to COMMAND (--resize),
      or types TEXT (--send). Its status is that of COMMAND.
  terminal.py close SOCKET -- COMMAND...
      listens on SOCKET, and hangs up on whoever connects. Its status is that of COMMAND.
  terminal.py receive SOCKET -- COMMAND...
      listens on SOCKET, runs COMMAND, takes one message with one descriptor, and
      prints "received N bytes, N descriptors", then what comes out of the terminal.
"""
import array
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios

DEADLINE = 60


def set_size(fd, text):
    rows, columns = (int(part) for part in text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def copy_out(master, on_line=None, after="\n"):
    """Prints everything until the last process has closed the other side."""
    seen = b""
    while True:
        if not select.select([master], [], [], DEADLINE)[0]:
            sys.exit("terminal.py: nothing came out for %d s" % DEADLINE)
        try:
            data = os.read(master, 65536)
        except OSError:
            return
        if not data:
            return
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        seen += data
        if on_line and after.encode() in seen:
            on_line()
            on_line = None


def own(options, command):
    master, slave = pty.openpty()
    set_size(slave, options.get("--size", "24x80"))
    # no session of its own: the terminal is not the controlling one, as with BuildKit
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)

    def on_line():
        if "--resize" in options:
            set_size(master, options["--resize"])
            child.send_signal(signal.SIGWINCH)
        if "--send" in options:
            os.write(master, options["--send"].encode().decode("unicode_escape").encode())

    copy_out(master, on_line, options.get("--after", "\n"))
    return child.wait(DEADLINE)


def receive(path, command):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(1)
    server.settimeout(DEADLINE)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    connection, _ = server.accept()
    data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload)
    print("received %d bytes, %d descriptors" % (len(data), len(fds)), flush=True)
    status = child.wait(DEADLINE)
    copy_out(fds[0])
    return status


def hang_up(path, command):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(1)
    server.settimeout(DEADLINE)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    connection, _ = server.accept()
    connection.close()
    server.close()
    return child.wait(DEADLINE)


def main():
    split = sys.argv.index("--")
    words, command = sys.argv[1:split], sys.argv[split + 1 :]
    if words[0] == "receive":
        return receive(words[1], command)
    if words[0] == "close":
        return hang_up(words[1], command)
    return own(dict(zip(words[1::2], words[2::2])), command)


sys.exit(main())
