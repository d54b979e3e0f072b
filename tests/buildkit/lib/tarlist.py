# SPDX-License-Identifier: Apache-2.0
"""Lists a tar archive so that two listings can be compared as text.

One line per entry, sorted by name: type (f d l h p), mode, uid:gid, size,
name, and the target of a link. A name that occurs twice is an error.
"""
import sys
import tarfile

KINDS = {
    tarfile.REGTYPE: "f", tarfile.AREGTYPE: "f", tarfile.DIRTYPE: "d",
    tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.FIFOTYPE: "p",
    tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b",
}

lines = {}
with tarfile.open(sys.argv[1]) as archive:
    for entry in archive:
        if entry.name in lines:
            sys.exit(f"{entry.name} stands twice in the archive")
        target = f" -> {entry.linkname}" if entry.issym() or entry.islnk() else ""
        lines[entry.name] = (f"{KINDS[entry.type]} {entry.mode:04o} {entry.uid}:{entry.gid} "
                             f"{entry.size} {entry.name}{target}")
for name in sorted(lines):
    print(lines[name])
