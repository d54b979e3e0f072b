# SPDX-License-Identifier: Apache-2.0
"""Reads buildctl's --progress=rawjson on stdin and prints, for the output of
all steps together, the number of bytes and their SHA-256.
"""
import base64
import hashlib
import json
import sys

count = 0
digest = hashlib.sha256()
for line in sys.stdin.buffer:
    if b'"logs"' not in line:
        continue
    for log in json.loads(line).get("logs") or ():
        data = base64.b64decode(log["data"])
        count += len(data)
        digest.update(data)
print(count, digest.hexdigest())
