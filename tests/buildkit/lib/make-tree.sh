#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs inside a build step under busybox: makes a tree in /t with one of each
# kind of file that an export has to carry.

set -e
umask 022
mkdir /t
cd /t

mkdir -m 0755 dir
mkdir -m 0700 dir/private
mkdir -m 1777 dir/sticky
mkdir -m 2775 dir/setgid
mkdir -p empty deep/er/and/deeper
echo content >file
chown 1000:33 file
chmod 0640 file
echo secret >dir/private/no-access
chmod 0000 dir/private/no-access
echo run >setuid
chmod 4755 setuid
echo run >setgid
chmod 2755 setgid
echo run >setuid-app
chown 1000:1000 setuid-app
chmod 6511 setuid-app
ln -s file link
ln -s /absolute/target absolute
ln -s ../../up up
ln -s nowhere dangling
chown -h 33:33 dangling
echo twice >hard
ln hard deep/hard
: >nothing
: >'name with space'
: >ünïcode
: >-dash
head -c 1000000 /dev/zero | tr '\0' 7 >large
mkfifo fifo
