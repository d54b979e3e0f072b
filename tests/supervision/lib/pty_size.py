# SPDX-License-Identifier: Apache-2.0
"""Runs a command as BuildKit runs a step with a terminal: standard streams are a
pty that is not its controlling terminal, and a resize is a SIGWINCH. Prints what
the command wrote; ends well when its status is 3 after the resize."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(master, text, seconds):
    seen = b""
    deadline = time.monotonic() + seconds
    while text not in seen and time.monotonic() < deadline:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(master, 4096)
        except OSError:  # EIO: the last descriptor of the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    sys.stdout.write(seen.decode(errors="replace"))
    sys.stdout.flush()
    return text in seen


master, slave = os.openpty()
set_size(master, 24, 80)
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave)
os.close(slave)
good = read_until(master, b"started", 20)
set_size(master, 50, 132)
child.send_signal(signal.SIGWINCH)
good = read_until(master, b"50 132", 20) and good
status = child.wait(timeout=20)
sys.exit(0 if good and status == 3 else 1)
