#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""await_signal.py NAME: says "up", waits for the signal and ends with status 42."""
import signal
import sys

number = signal.Signals[f"SIG{sys.argv[1]}"]
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
print("up", flush=True)
signal.sigwait([number])
sys.exit(42)
