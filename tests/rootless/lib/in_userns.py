#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""in_userns.py MAP CMD...: as root, runs CMD as root of a user namespace with this map of both
kinds of ids."""
import os
import sys

CLONE_NEWUSER = 0x10000000

ready_read, ready_write = os.pipe()
mapped_read, mapped_write = os.pipe()
child = os.fork()
if child == 0:
    import ctypes
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready_write, b"x")
    os.read(mapped_read, 1)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.execvp(sys.argv[2], sys.argv[2:])
os.close(ready_write)
os.read(ready_read, 1)
for kind in ("uid", "gid"):
    with open(f"/proc/{child}/{kind}_map", "w", encoding="ascii") as file:
        file.write(sys.argv[1] + "\n")
os.write(mapped_write, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
