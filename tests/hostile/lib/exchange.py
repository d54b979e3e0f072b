# SPDX-License-Identifier: Apache-2.0
"""Exchanges two paths for ever: renameat2(2) with RENAME_EXCHANGE."""

import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2
first, second = (os.fsencode(path) for path in sys.argv[1:3])
while True:
    if libc.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
