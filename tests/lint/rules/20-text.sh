# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # here, top: set by the suite
#
# How the sources read: format, licence, heads, length.

# The formatter's output differs from release to release; the tree follows that
# of Debian 12.
clang_format() {
	local program

	for program in clang-format-14 clang-format; do
		if "$program" --version 2>/dev/null | grep -q 'version 14\.'; then
			printf '%s' "$program"
			return
		fi
	done
}

rule_c_is_formatted() {
	local tree=$1 format files

	format=$(clang_format)
	[[ -n $format ]] || skip 'clang-format 14 is not installed'
	mapfile -t files < <(c_files "$tree")
	(cd "$tree" && "$format" --style="file:$top/.clang-format" --dry-run -Werror "${files[@]}" 2>&1) |
		grep -E '^[^ ]+: error:' | sed 's/: error: .*/: not as clang-format writes it/' || true
}

rule_shell_passes_shellcheck() {
	local tree=$1 files

	needs shellcheck
	mapfile -t files < <(shell_files "$tree")
	(cd "$tree" && shellcheck -x -P SCRIPTDIR -f gcc "${files[@]}") || true
}

rule_sources_name_their_license() {
	local tree=$1 file line

	{
		c_files "$tree"
		shell_files "$tree"
		tree_files "$tree" | grep -E '(\.(py|awk|scd|mk|m4|ya?ml|go|inc\.in)|(^|/)(Makefile\.am|configure\.ac))$' || true
		tree_files "$tree" | while IFS= read -r file; do
			line=
			IFS= read -r line 2>/dev/null <"$tree/$file" || true
			[[ $line != '#!'* ]] || printf '%s\n' "$file"
		done
	} 2>/dev/null | sort -u | while IFS= read -r file; do
		head -n 3 "$tree/$file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' ||
			printf '%s: no SPDX-License-Identifier among the first three lines\n' "$file"
	done
}

# What the file decides, in which process, what it must not do: before the
# first line of code.
rule_c_files_open_with_their_theory() {
	local tree=$1 file

	c_files "$tree" | while IFS= read -r file; do
		awk -v file="$file" '
			FNR == 1 || /^#pragma once$/ || /^[ \t]*$/ { next }
			!inside && !/^\/[*\/]/ || inside && slashes && !/^\/\// { exit }
			{ inside = 1; text = text $0; slashes = /^\/\// }
			/\*\// { exit }
			END {
				gsub(/[^A-Za-z]/, "", text)
				if (length(text) < 20)
					print file ": does not open with a comment on what it decides"
			}' "$tree/$file"
	done
}

rule_functions_fit_on_a_screen() {
	local tree=$1 file name lines

	c_files "$tree" | while IFS= read -r file; do
		awk -v file="$file" '
			/^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
			/^\{/ { start = FNR }
			/^\}/ && start {
				if (FNR - start + 1 > 60)
					print file, name, FNR - start + 1
				start = 0
			}' "$tree/$file"
	done | while read -r file name lines; do
		listed "$here/long-functions" "$file:$name" ||
			printf '%s: %s() has %d lines, more than 60\n' "$file" "$name" "$lines"
	done
}

rule_files_stay_below_700_lines() {
	local tree=$1 file lines

	{
		c_files "$tree"
		shell_files "$tree"
	} | while IFS= read -r file; do
		lines=$(wc -l <"$tree/$file")
		((lines <= 700)) || listed "$here/long-functions" "$file" ||
			printf '%s: %d lines, more than 700\n' "$file" "$lines"
	done
}
