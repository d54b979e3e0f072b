# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the rules share: which files there are, what an object calls.

# tree_files TREE: the files of the project, one a line, relative to TREE. In a
# checkout those that git knows or would add; in a release those of the
# repository; elsewhere (a sample) all. The samples, which break the rules, are never among them.
tree_files() {
	if [[ -e $1/.git ]] && command -v git >/dev/null; then
		git -c safe.directory='*' -C "$1" ls-files --cached --others --exclude-standard
	elif [[ -x $1/scripts/list-files ]]; then
		"$1/scripts/list-files"
	else
		(cd "$1" && find . \( -name .git -o -name build -o -name autom4te.cache -o \
			-name build-aux \) -prune -o -type f -print) | sed 's,^\./,,'
	fi | grep -v '^tests/lint/bad/' | while IFS= read -r file; do
		[[ ! -f $1/$file || -L $1/$file ]] || printf '%s\n' "$file"
	done | sort
}

c_files() {
	tree_files "$1" | grep -E '^(src|tests|bench)/.*\.[ch]$' || true
}

# Programs and libraries in shell: by name, by the first line, or by the note
# for shellcheck.
shell_files() {
	local file line

	tree_files "$1" | while IFS= read -r file; do
		line=
		IFS= read -r line 2>/dev/null <"$1/$file" || true
		if [[ $file == *.sh || $line =~ ^'#!'.*[/\ ](ba|da)?sh($|\ ) ]]; then
			printf '%s\n' "$file"
		fi
	done 2>/dev/null
}

# needs PROGRAM…: a rule whose program is missing is skipped, and says so.
needs() {
	local program

	for program in "$@"; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# called_symbols OBJECT…: "OBJECT SYMBOL" for everything that is taken from
# elsewhere, with the names that fortification and large files give to a
# function (__snprintf_chk, fstat64, __isoc99_sscanf) reduced to its own.
# What the compiler adds for sanitizers and coverage is left out.
called_symbols() {
	nm -A -u "$@" | awk '
		{ name = $NF; object = $1; sub(/:$/, "", object); sub(/^.*\//, "", object) }
		name ~ /^(__asan_|__ubsan_|__sanitizer_|__gcov_|__llvm_|_GLOBAL_OFFSET_TABLE_)/ { next }
		{
			sub(/@.*/, "", name)
			if (name ~ /^__.*_chk$/ ) { sub(/^__/, "", name); sub(/_chk$/, "", name) }
			sub(/^__isoc[0-9]+_/, "", name)
			if (name ~ /[a-z]64$/ && name !~ /_u64$|_i64$/) sub(/64$/, "", name)
			print object, name
		}' | sort -u
}

# program_objects BUILDDIR: the archives of the floors, and the objects of
# programs, which automake names PROGRAM-FILE.o.
program_objects() {
	find "$1" -maxdepth 1 -name 'lib*.a'
	[[ ! -d $1/src ]] || find "$1/src" -name '*-*.o'
}

# Names that OBJECT… define for others.
defined_symbols() {
	nm -g --defined-only "$@" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u
}

# only_listed LIST OBJECT…: a finding for each symbol that OBJECT… call, do not
# define themselves, and no pattern of the file LIST allows.
only_listed() {
	local list=$1 object symbol pattern patterns=() own

	shift
	while read -r pattern _; do
		[[ -z $pattern || $pattern == '#'* ]] || patterns+=("$pattern")
	done <"$list"
	for object in "$@"; do
		[[ -f $object ]] || printf '%s is missing\n' "$object"
	done
	own=$'\n'$(defined_symbols "$@")$'\n'
	while read -r object symbol; do
		[[ $own != *$'\n'"$symbol"$'\n'* ]] || continue
		for pattern in "${patterns[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $symbol != $pattern ]] || continue 2
		done
		printf '%s calls %s, which is not in tests/lint/%s\n' "$object" "$symbol" "${list##*/}"
	done < <(called_symbols "$@")
}

# listed FILE NAME: is NAME, with a reason, in the list FILE?
listed() {
	awk -v name="$2" '$1 == name && NF > 3 { found = 1 } END { exit !found }' "$1"
}

# build_sample TREE: src/FOLDER/*.c becomes build/libFOLDER.a, when a rule looks at objects.
build_sample() {
	local folder file

	[[ -f $1/compile ]] || return 0
	mkdir -p "$1/build"
	for folder in "$1"/src/*/; do
		for file in "$folder"*.c; do
			"${CC:-cc}" -fno-builtin -c -o "$1/build/$(basename "$file" .c).o" "$file"
		done
		folder=$(basename "$folder")
		ar rc "$1/build/lib$folder.a" "$1"/build/*.o
		rm "$1"/build/*.o
	done
}
