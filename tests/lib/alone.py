#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command and looks who of it outlives it: alone.py COMMAND...

A child subreaper: whoever is left at the moment when the command has ended is a child of this
process by then, dying or not. Each is named on standard error. Status: that of the command, or 99
when somebody was left.
"""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def children():
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def describe(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return text[text.index("(") : text.rindex(")") + 3]


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    status = subprocess.run(sys.argv[1:], check=False).returncode
    for pid in children():
        sys.stderr.write(f"left: {pid} {describe(pid)}\n")
        os.kill(pid, signal.SIGKILL)
        status = 99
    return status


sys.exit(main())
