# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # here, top: set by the suite
#
# The house: includes point down, the planner is pure, the executor is safe
# after clone, nothing calls what the house does without.

rule_includes_point_down() {
	local tree=$1 file

	c_files "$tree" | grep '^src/' | while IFS= read -r file; do
		sed -nE 's/^#[ \t]*include "([^"]+)".*/\1/p' "$tree/$file" | sed "s,^,$file ,"
	done | awk '
		FNR == NR {
			if ($0 ~ /^#/ || NF == 0)
				next
			floor[$1] = $2
			for (i = 3; i <= NF; i++)
				may[$1, $i] = 1
			order[++n] = $0
			next
		}
		!checked {
			checked = 1
			for (j = 1; j <= n; j++) {
				count = split(order[j], word, " ")
				for (i = 3; i <= count; i++) {
					split(word[i], part, "/")
					if (word[i] == "*")
						continue
					if (!(part[1] in floor) || floor[part[1]] > floor[word[1]] ||
					    (floor[part[1]] == floor[word[1]] && part[2] == ""))
						print "tests/lint/floors: " word[1] " may not list " word[i]
				}
			}
		}
		{
			split($1, path, "/")
			split($2, part, "/")
			if (part[2] == "")
				next # made by the build
			if (!(path[2] in floor)) {
				print $1 ": folder src/" path[2] " is not in tests/lint/floors"
				next
			}
			if (path[2] == part[1] || may[path[2], part[1]] || may[path[2], $2] ||
			    may[path[2], "*"])
				next
			if (floor[part[1]] > floor[path[2]])
				print $1 ": upward include of " $2 " (floor " floor[path[2]] " takes from " \
				      floor[part[1]] ")"
			else
				print $1 ": " $2 " is not what src/" path[2] " may include"
		}' "$here/floors" -
}

rule_planner_makes_no_system_call() {
	only_listed "$here/plan.symbols" "$2/libplan.a"
}

rule_executor_calls_only_what_is_safe_after_clone() {
	only_listed "$here/exec.symbols" "$2/libexec.a"
}

# Functions that the poison in base/banned.h cannot see: in macros and inline
# functions of system headers, or allowed in one file.
rule_banned_functions_are_not_called() {
	local objects

	mapfile -t objects < <(program_objects "$2")
	called_symbols "${objects[@]}" | awk '
		FNR == NR {
			if ($0 ~ /^#/ || NF == 0)
				next
			but[$1] = "," $2 ","
			instead[$1] = $0
			sub(/^[^ \t]+[ \t]+[^ \t]+[ \t]+/, "", instead[$1])
			next
		}
		$2 in but {
			object = $1
			sub(/^.*:/, "", object)
			sub(/^runbuild-/, "", object)
			if (!index(but[$2], "," object ","))
				print $1 " calls " $2 ": " instead[$2]
		}' "$here/banned.symbols" -
}

# A call that makes descriptors says close-on-exec in the same statement, or is
# one of base/sys.h, which add it. (fdopendir keeps what the descriptor has;
# opendir sets it: opendir(3).)
rule_descriptors_are_born_close_on_exec() {
	local tree=$1 file

	c_files "$tree" | grep -E '^(src|bench)/' | while IFS= read -r file; do
		awk -v file="$file" '
			function code(line) {
				if (comment) {
					if (!sub(/^.*\*\//, "", line))
						return ""
					comment = 0
				}
				gsub(/"re"/, "CLOEXEC", line) # fopen(3)
				gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
				gsub(/\/\*.*\*\//, "", line)
				comment = sub(/\/\*.*/, "", line)
				return line
			}
			{ line = code($0) }
			line ~ /(^|[^a-z0-9_>.])(open|openat|creat|fopen|freopen|pipe|pipe2|socket|socketpair|accept|accept4|epoll_create1?|eventfd|memfd_create|memfd_secret|signalfd|timerfd_create|inotify_init1?|fanotify_init|userfaultfd|recvmsg|recvmmsg|mkostemp|mkstemp|tmpfile)\(/ ||
			line ~ /SYS_(open|openat|openat2|open_tree|fsopen|fsmount|fspick|socket|accept4|memfd_create|pipe2)[,)]/ ||
			line ~ /F_DUPFD[,)]|SYS_dup[,)]/ {
				statement = ""
				first = FNR
				open = 1
			}
			open { statement = statement line }
			open && /;|\{[ \t]*$/ {
				open = 0
				if (statement !~ /CLOEXEC|&how/)
					print file ":" first ": a descriptor without close-on-exec: " statement
			}' "$tree/$file"
	done
}

# prctl(2): a parent that is dead already sends no signal. The step's own is the executor's.
rule_death_signals_look_at_the_parent() {
	local tree=$1

	(cd "$tree" && grep -rnE --include='*.[ch]' '\(PR_SET_PDEATHSIG' src || true) |
		grep -vE '^src/(base/sys\.h|exec/ops_setup\.c):' | cut -d: -f1,2 |
		sed 's/$/: a parent that died before is not seen: sys_die_with()/' || true
}

# State that outlives a call: allowed are constants and what tests/lint/globals lists.
rule_files_keep_no_state() {
	local objects

	mapfile -t objects < <(program_objects "$2")
	nm -A -f sysv "${objects[@]}" 2>/dev/null | awk -F '|' '
		{ section = $NF; gsub(/ /, "", section) }
		section ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && section !~ /^\.data\.rel\.ro/ {
			object = $1
			sub(/^.*\//, "", object)
			n = split(object, part, ":")
			name = part[n]
			gsub(/ /, "", name)
			sub(/\.[0-9]+$/, "", name)
			sub(/^.*-/, "", part[n - 1])
			if (name !~ /^(__asan_|__ubsan_|__gcov|__llvm)/)
				print part[n - 1] ":" name
		}' | sort -u | while IFS= read -r name; do
		listed "$here/globals" "$name" || printf '%s is kept between calls\n' "$name"
	done
}

rule_headers_are_included_once() {
	local tree=$1 file

	c_files "$tree" | grep '\.h$' | while IFS= read -r file; do
		head -n 3 "$tree/$file" | grep -qx '#pragma once' ||
			printf '%s: no #pragma once among the first three lines\n' "$file"
	done
}
