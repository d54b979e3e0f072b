# SPDX-License-Identifier: Apache-2.0
"""Changes a few places of standard input: mutate.py SEED. The same seed gives the
same text."""

import random
import sys

pick = random.Random(int(sys.argv[1]))
text = bytearray(sys.stdin.buffer.read())
WORDS = [b"null", b"[]", b"{}", b"-1", b"4294967295", b'""', b"true", b"1e999", b'"\\ud800"', b","]
for _ in range(pick.randint(1, 4)):
    at = pick.randrange(len(text))
    kind = pick.randrange(5)
    if kind == 0:
        text[at] = pick.randrange(256)
    elif kind == 1:
        del text[at : at + pick.randint(1, 20)]
    elif kind == 2:
        text[at:at] = text[at : at + pick.randint(1, 60)]
    elif kind == 3:
        text[at:at] = pick.choice(WORDS)
    else:
        # a whole value: from a colon to the next comma
        colon = text.find(b":", at)
        comma = text.find(b",", colon)
        if 0 <= colon < comma:
            text[colon + 1 : comma] = pick.choice(WORDS)
sys.stdout.buffer.write(bytes(text))
