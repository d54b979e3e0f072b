# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, here: set by the suite
#
# What comes out of a build, file by file: modes, owners, setuid bits, links.

# The tree of lib/make-tree.sh as a tar listing.
expected_tree() {
	cat <<-'E'
		f 0644 0:0 0 -dash
		l 0777 0:0 0 absolute -> /absolute/target
		l 0777 33:33 0 dangling -> nowhere
		d 0755 0:0 0 deep
		d 0755 0:0 0 deep/er
		d 0755 0:0 0 deep/er/and
		d 0755 0:0 0 deep/er/and/deeper
		f 0644 0:0 6 deep/hard
		d 0755 0:0 0 dir
		d 0700 0:0 0 dir/private
		f 0000 0:0 7 dir/private/no-access
		d 2775 0:0 0 dir/setgid
		d 1777 0:0 0 dir/sticky
		d 0755 0:0 0 empty
		p 0644 0:0 0 fifo
		f 0640 1000:33 8 file
		h 0644 0:0 0 hard -> deep/hard
		f 0644 0:0 1000000 large
		l 0777 0:0 0 link -> file
		f 0644 0:0 0 name with space
		f 0644 0:0 0 nothing
		f 2755 0:0 4 setgid
		f 4755 0:0 4 setuid
		f 6511 1000:1000 4 setuid-app
		l 0777 0:0 0 up -> ../../up
		f 0644 0:0 0 ünïcode
	E
}

build_tree() {
	cp -- "$here/lib/make-tree.sh" "$(context_of "$1")/"
	must_build "$@" <<-'D'
		FROM base AS tree
		COPY make-tree.sh /make-tree.sh
		RUN sh /make-tree.sh
		FROM scratch
		COPY --from=tree /t /
	D
}

test_tar_export_carries_every_kind_of_file() {
	local tar=$scratch/build/tree-tar/out.tar

	build_tree tree-tar --output type=tar,dest="$tar"
	same 'archive' "$(expected_tree)" "$(tar_list "$tar")"
	same 'content of file' content "$(tar -xOf "$tar" file)"
	same 'checksum of large' "$(head -c 1000000 /dev/zero | tr '\0' 7 | sha256sum)" \
		"$(tar -xOf "$tar" large | sha256sum)"
}

# An ordinary user receives the files, so owners become the user's. buildctl
# sets the mode of a writable file before it writes the content, and the kernel
# takes setuid and setgid off a file that is written: only files that are empty
# or not writable keep the bits, whatever the runtime.
test_local_export_carries_every_kind_of_file() {
	local out=$scratch/build/tree-local/out expected

	build_tree tree-local --output type=local,dest="$out"
	expected=$(expected_tree | awk '{
		type = $1 == "h" ? "f" : $1
		mode = type == "l" ? "0777" : $2
		if (type == "f" && $4 > 0 && mode ~ /^.[2367]/)
			mode = "0" substr(mode, 2)
		sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "")
		if (type != "l")
			sub(/ -> .*/, "")
		print type, mode, $0
	}' | LC_ALL=C sort)
	same 'folder' "$expected" "$(cd "$out" &&
		find . -mindepth 1 \( -type l -printf 'l 0777 %P -> %l\n' -o -printf '%y %04m %P\n' \) | LC_ALL=C sort)"
	same 'owner' "$(id -u):$(id -g)" "$(find "$out" -printf '%U:%G\n' | sort -u)"
	same 'content of file' content "$(cat "$out/file")"
	same 'content of hard' twice "$(cat "$out/hard")"
	same 'checksum of large' "$(head -c 1000000 /dev/zero | tr '\0' 7 | sha256sum)" "$(sha256sum <"$out/large")"
}

test_copy_between_stages_keeps_many_owners() {
	local tar=$scratch/build/owners/out.tar id expected=

	must_build owners --output type=tar,dest="$tar" <<-'D'
		FROM base AS tree
		RUN mkdir /t; for id in 0 1 33 1000 65534; do mkdir /t/$id && echo $id >/t/$id/file && ln -s file /t/$id/link && mkdir /t/$id/dir && chown -hR $id:$((65534 - id)) /t/$id && chmod 4750 /t/$id/file; done
		FROM scratch AS between
		COPY --from=tree /t /t
		FROM base AS seen
		COPY --from=between /t /t
		RUN stat -c '%u:%g %a' /t/33/file /t/65534/link
		FROM scratch
		COPY --from=seen /t /
	D
	for id in 0 1 1000 33 65534; do
		expected+="d 0755 $id:$((65534 - id)) 0 $id
d 0755 $id:$((65534 - id)) 0 $id/dir
f 4750 $id:$((65534 - id)) $((${#id} + 1)) $id/file
l 0777 $id:$((65534 - id)) 0 $id/link -> file
"
	done
	same 'archive' "${expected%$'\n'}" "$(tar_list "$tar")"
	same 'owners that a step sees' $'33:65501 4750\n65534:0 777' "$(step_output owners)"
}

# Changes on top of a lower layer: the snapshotter has to hide, replace and
# copy up, and a later layer has to show exactly the result.
test_layers_hide_replace_and_copy_up() {
	local tar=$scratch/build/layers/out.tar

	must_build layers --output type=tar,dest="$tar" <<-'D'
		FROM base AS lower
		RUN mkdir -p /w/gone/sub /w/opaque/sub /w/kept /w/to-file /w/renamed/sub && cd /w && for f in gone/sub/f opaque/sub/old kept/a mode to-dir renamed/sub/f grows linked; do echo 1 >$f; done && chmod 4755 linked && ln linked linked-too
		FROM lower AS upper
		RUN cd /w && rm -r gone opaque && mkdir opaque && echo 2 >opaque/new && chmod 4711 mode && chown 33:33 kept && rm to-dir && mkdir to-dir && rmdir to-file && echo 2 >to-file && mv renamed moved && echo 2 >>grows
		FROM upper AS top
		RUN cd /w && mkdir gone && rm opaque/new && test "$(cat grows)" = "$(printf '1\n2')"
		FROM scratch
		COPY --from=top /w /
	D
	same 'archive' 'd 0755 0:0 0 gone
f 0644 0:0 4 grows
d 0755 33:33 0 kept
f 0644 0:0 2 kept/a
f 4755 0:0 2 linked
h 4755 0:0 0 linked-too -> linked
f 4711 0:0 2 mode
d 0755 0:0 0 moved
d 0755 0:0 0 moved/sub
f 0644 0:0 2 moved/sub/f
d 0755 0:0 0 opaque
d 0755 0:0 0 to-dir
f 0644 0:0 2 to-file' "$(tar_list "$tar")"
}

# A whole image with its base: nothing but what was copied and made, and no
# mount point or mask that the runtime put there.
test_exported_image_holds_nothing_of_the_runtime() {
	local tar=$scratch/build/image/out.tar

	must_build image --output type=tar,dest="$tar" <<-'D'
		FROM base
		RUN echo made >/made
		RUN --mount=type=tmpfs,target=/mnt/point --mount=type=cache,target=/tmp/c true
	D
	same 'archive without the names of busybox' 'd 0755 0:0 0 bin
d 0755 0:0 0 dev
d 0755 0:0 0 etc
f 0644 0:0 '"$(stat -c %s "$scratch/base/etc/group")"' etc/group
f 0644 0:0 '"$(stat -c %s "$scratch/base/etc/passwd")"' etc/passwd
f 0644 0:0 5 made
d 0755 0:0 0 proc
d 0700 0:0 0 root
d 0755 0:0 0 sys
d 1777 0:0 0 tmp
d 0755 0:0 0 var' "$(tar_list "$tar" | grep -v ' bin/')"
	same 'names of busybox' "$(ls "$scratch/base/bin")" "$(tar -tf "$tar" | sed -n 's,^bin/\(..*\),\1,p' | sort)"
}

# A root without any mount point: the runtime may leave empty ones behind, but
# only where it had to mount.
test_root_without_mount_points() {
	local tar=$scratch/build/bare/out.tar

	must_build bare --output type=tar,dest="$tar" <<-'D'
		FROM scratch
		COPY --from=base /bin/busybox /busybox
		RUN ["/busybox", "sh", "-c", "/busybox echo made >/made; /busybox test -c /dev/null"]
	D
	same 'archive without /dev, /etc, /proc, /sys' "f 0755 0:0 $(stat -c %s "$scratch/base/bin/busybox") busybox
f 0644 0:0 5 made" "$(tar_list "$tar" | grep -vE '^d 0755 0:0 0 (dev|etc|proc|sys)$')"
}
