# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # here, top: set by the suite
#
# What is said in one place must hold in the others: ops, error codes, verbs,
# manual pages, documents, the default profile.

# A new op needs its man-page reference, a rule of plan_check, and a test.
# What an op does is compared in tests/golden, by its name in the plan's text.
rule_ops_have_reference_rule_and_test() {
	local tree=$1 op name comment tests

	tests=$(cd "$tree" && tree_files . | grep '^tests/' | grep -v '^tests/lint/' | while IFS= read -r file; do
		cat "$file"
	done | tr -cs 'A-Za-z0-9_' '\n' | sort -u)
	awk '
		/^#define PLAN_OPS\(X\)/ { inside = 1; next }
		inside { sub(/[ \t]*\\$/, ""); text = text " " $0 }
		inside && /\*\/[ \t]*$/ && /X\(OP_PID_FILE/ { exit }
		/^enum plan_op_kind/ { exit }
		END {
			n = split(text, entry, /X\(OP_/)
			for (i = 2; i <= n; i++) {
				op = "OP_" entry[i]; sub(/[^A-Z0-9_].*/, "", op)
				name = entry[i]; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
				comment = entry[i]; sub(/^[^*]*/, "", comment); gsub(/[ \t]+/, " ", comment)
				print op, name, comment
			}
		}' "$tree/src/plan/plan.h" | while read -r op name comment; do
		[[ $comment =~ [a-z0-9_]\([1-8]\) ]] ||
			printf 'src/plan/plan.h: %s: no manual page named beside it\n' "$op"
		grep -q "^[[:space:]]*\[$op\] = {" "$tree/src/plan/plan_check.c" ||
			printf 'src/plan/plan_check.c: %s has no rule\n' "$op"
		# a here-string: grep -q may leave before a writer is done
		[[ ! -d $tree/tests/golden ]] || grep -qxE "$op|$name" <<<"$tests" ||
			printf 'tests: none mentions %s or "%s"\n' "$op" "$name"
	done
}

rule_error_codes_are_explained_and_used() {
	local tree=$1 code number

	sed -nE 's/^.*X\((RB_[A-Z0-9_]+), ([0-9]+)\).*/\1 \2/p' "$tree/src/base/err.h" |
		sort -k 2,2n | while read -r code number; do
		[[ $number != "${previous:-}" ]] ||
			printf 'src/base/err.h: %s: number %s is given twice\n' "$code" "$number"
		previous=$number
		[[ $code != RB_OK ]] || continue
		# {CODE, "title", "cause", "fix"}: three strings, the latter two sentences
		awk -v code="$code" '
			index($0, "{" code ",") { inside = 1 }
			inside { text = text $0 }
			inside && /\},?[ \t]*$/ { exit }
			END {
				gsub(/\\"/, "", text)
				gsub(/"[ \t]*"/, "", text)
				n = gsub(/"[^"][^"][^"]+"/, "", text)
				exit n != 3
			}' "$tree/src/diag/catalogue.c" ||
			printf 'src/diag/catalogue.c: %s has no title, cause and fix\n' "$code"
		grep -rqw --include='*.[ch]' --exclude=err.h --exclude=catalogue.c "$code" "$tree/src" ||
			printf 'src/base/err.h: %s is used nowhere\n' "$code"
	done
	grep -oE '\{RB_[A-Z0-9_]+,' "$tree/src/diag/catalogue.c" | tr -d '{,' | sort | uniq -d |
		sed 's,^,src/diag/catalogue.c: twice: ,'
}

# help_section TITLE: the lines of a section of --help, without the indent.
help_section() {
	awk -v title="$1:" '
		$0 == title { inside = 1; next }
		/^[A-Z]/ { inside = 0 }
		inside && NF { sub(/^   /, ""); print }'
}

# "--bundle DIR, -b   text" -> "--bundle -b DIR"
help_options() {
	awk '{
		# the text begins in column 34, or after an option that is longer
		if (substr($0, 33, 1) == " ") $0 = substr($0, 1, 32)
		else if (match(substr($0, 33), / /)) $0 = substr($0, 1, 31 + RSTART)
		long = $1; sub(/,$/, "", long)
		letter = ""; arg = ""
		for (i = 2; i <= NF; i++)
			if ($i ~ /^-[A-Za-z]$/) letter = $i
			else { arg = $i; sub(/,$/, "", arg) }
		gsub(/[_*\\]/, "", arg)
		if (long != "--help") print long " " letter " " arg
	}' | sort
}

# The same from the section TITLE of a page: "*-b*, *--bundle* _DIR_"
page_options() {
	awk -v title="# $2" '
		/^# / { inside = $0 == title; next }
		inside && /^\*-/ {
			gsub(/[*_\\,]/, "")
			long = letter = arg = ""
			for (i = 1; i <= NF; i++)
				if ($i ~ /^--/) long = $i
				else if ($i ~ /^-/) letter = $i
				else arg = $i
			if (long != "--help") print long " " letter " " arg
		}' "$1" | sort
}

compare_options() {
	local page=$1 what=$2

	diff "$3" "$4" | sed -nE "s,^< (.*),$page: $what option not in the page: \1,p
		s,^> (.*),$page: not an option of $what: \1,p" || true
}

# Every verb has a page; every option, with its argument, stands in the verb's
# table (which --help prints) and in the page, and nothing else does.
rule_verbs_match_their_pages() {
	local tree=$1 program=$2/runbuild verb page synopsis known='' work

	work=$(mktemp -d)
	[[ ! -x $tree/runbuild ]] || program=$tree/runbuild # a sample brings its own
	"$program" --help >"$work/help"
	help_section 'GLOBAL OPTIONS' <"$work/help" | help_options >"$work/table"
	page_options "$tree/man/runbuild.1.scd" 'GLOBAL OPTIONS' >"$work/page"
	compare_options man/runbuild.1.scd global "$work/table" "$work/page"
	for verb in $(help_section VERBS <"$work/help" | awk '{ print $1 }'); do
		page=man/runbuild-$verb.1.scd
		known+=" runbuild-$verb.1.scd"
		grep -q "runbuild-$verb\*(1)" "$tree/man/runbuild.1.scd" ||
			printf 'man/runbuild.1.scd: does not name runbuild-%s(1)\n' "$verb"
		if [[ ! -f $tree/$page ]]; then
			printf '%s is missing: every verb has a manual page\n' "$page"
			continue
		fi
		"$program" "$verb" --help >"$work/help-verb"
		help_section OPTIONS <"$work/help-verb" | help_options >"$work/table"
		page_options "$tree/$page" OPTIONS >"$work/page"
		compare_options "$page" "$verb's" "$work/table" "$work/page"
		synopsis=$(help_section USAGE <"$work/help-verb" | sed 's/ *$//;s/^runbuild /runbuild [global options] /')
		awk '/^# / { inside = $0 == "# SYNOPSIS"; next } inside { gsub(/[*_\\]/, ""); print }' \
			"$tree/$page" | grep -qxF -e "$(tr -d '_' <<<"$synopsis")" ||
			printf '%s: the synopsis is not "%s"\n' "$page" "$synopsis"
	done
	for page in "$tree"/man/runbuild-*.1.scd; do
		[[ ! -f $page || " $known " == *" ${page##*/} "* ]] ||
			printf 'man/%s: there is no such verb\n' "${page##*/}"
	done
	rm -r "$work"
}

# A page that the build does not know is not installed; one that mandoc has
# remarks on reads badly somewhere.
rule_pages_are_valid_and_built() {
	local tree=$1 build=$2 page built roff

	needs scdoc mandoc
	for page in "$tree"/man/*.scd "$build"/man/*.scd; do
		[[ -f $page ]] || continue
		built=man/$(basename "$page" .scd)
		[[ -f $build/$built || -f $tree/$built ]] || printf '%s was not built\n' "$built"
		# an empty paragraph is how scdoc begins each one
		if ! roff=$(scdoc <"$page" 2>&1); then
			printf 'man/%s: scdoc: %s\n' "${page##*/}" "$roff"
			continue
		fi
		mandoc -T lint -W warning <<<"$roff" | grep -v 'skipping paragraph macro' |
			sed "s,^mandoc: [^:]*,man/${page##*/}," || true
	done
}

# runbuild-errors(7), as it was built from the catalogue, has what `explain`
# prints, word for word.
rule_error_page_matches_the_catalogue() {
	local tree=$1 build=$2 page code number line

	page=$build/man/runbuild-errors.7.scd
	[[ -f $page ]] || page=$tree/man/runbuild-errors.7.scd
	page=$(tr -d '\\*' <"$page")
	sed -nE 's/^.*X\((RB_[A-Z0-9_]+), ([0-9]+)\).*/\1 \2/p' "$tree/src/base/err.h" |
		while read -r code number; do
			[[ $code != RB_OK ]] || continue
			number=$(printf 'RB%04d' "$number")
			"$builddir/runbuild" explain "$number" | sed -E 's/^  (why|fix): //' |
				while IFS= read -r line; do
					line=$(tr -d '\\*' <<<"${line#RB????: }")
					[[ $page == *"$line"* ]] || printf 'runbuild-errors.7: %s: not there: %s\n' \
						"$number" "$line"
				done
		done
}

# Paths in backquotes that begin with a folder of the tree, and links.
rule_documents_name_existing_files() {
	local tree=$1 document path folder

	tree_files "$tree" | grep -E '\.md$' | while IFS= read -r document; do
		folder=$(dirname "$document")
		{
			# shellcheck disable=SC2016 # a backquote is meant
			grep -oE '`[A-Za-z0-9._-]+(/[A-Za-z0-9._*-]+)+/?`' "$tree/$document" | tr -d '`' || true
			grep -oE '\]\([^)#: ]+\)' "$tree/$document" | sed -E 's/^\]\((.*)\)$/\1/' || true
		} | sort -u | while IFS= read -r path; do
			[[ -e $tree/${path%%/*} || -e $tree/$folder/${path%%/*} || $path != */* ]] || continue
			[[ $path != build/* ]] || continue
			path=${path//@(NAME|VERB)/*}
			compgen -G "$tree/$path" >/dev/null || compgen -G "$tree/$folder/$path" >/dev/null ||
				printf '%s: names %s, which does not exist\n' "$document" "$path"
		done
	done
}

# profile_calls FILE: "CALL VERDICT" for each call of a profile.
profile_calls() {
	jq -r '.defaultErrnoRet as $default | .syscalls[] |
		(if .action == "SCMP_ACT_ALLOW" then (if .args then "conditions" else "allowed" end)
		 elif (.errnoRet // $default) == 1 then "EPERM" else "ENOSYS" end) as $verdict |
		.names[] | . + " " + $verdict' "$1" | sort -u
}

# The same from the groups of README.md: "*Allowed:* `a` `b`".
readme_calls() {
	awk '
		/^\*[A-Z][A-Za-z, ]*:\*/ {
			verdict = /^\*Allowed with/ ? "conditions" : /^\*Allowed/ ? "allowed" : \
				  /^\*EPERM/ ? "EPERM" : /^\*ENOSYS/ ? "ENOSYS" : "?"
			reason || noreason = noreason " " title
			inside = 1
		}
		/^## / { title = $0; reason = 0 }
		/^$/ { inside = 0 }
		!inside && !/^## / && NF { reason = 1 }
		inside {
			gsub(/^\*[^*]*\*/, "")
			n = split($0, word, "`")
			for (i = 2; i <= n; i += 2)
				print word[i] " " verdict
		}
		END { if (noreason != "") print "reason missing" noreason }' "$1" | sort
}

# Every call of seccomp/default.json stands once in its README, in a group with
# a reason and with the profile's verdict, and every call that runbuild knows
# has been decided on.
rule_default_profile_has_its_reasons() {
	local tree=$1 work

	needs jq
	work=$(mktemp -d)
	profile_calls "$tree/seccomp/default.json" >"$work/profile"
	readme_calls "$tree/seccomp/README.md" >"$work/readme"
	uniq -d "$work/readme" | sed 's,^,seccomp/README.md: twice: ,'
	cut -d ' ' -f 1 "$work/profile" | uniq -d | sed 's,^,seccomp/default.json: two verdicts: ,'
	diff "$work/profile" <(sort -u "$work/readme") | sed -nE \
		's|^< (.*)|seccomp/README.md: the profile has, but not here: \1|p
		 s|^> (.*)|seccomp/default.json: README.md has, but not here: \1|p' || true
	diff <(cut -d ' ' -f 1 "$work/profile" | sort -u) \
		<(sed -nE 's/^[[:space:]]*\{"([a-z0-9_]+)", \{.*/\1/p' "$tree/src/plan/syscall_table.c" | sort) |
		sed -nE 's|^< (.*)|src/plan/syscall_table.c: not a known call: \1|p
			 s|^> (.*)|seccomp/default.json: no decision about \1|p' || true
	rm -r "$work"
}

# The variables that base/env.c admits are those that are read, and those that
# runbuild(1) or a verb's page has under ENVIRONMENT.
rule_environment_is_documented() {
	local tree=$1 variable

	grep -rhoE --include='*.c' 'env_get\("[A-Z_0-9]+"\)' "$tree/src" | cut -d '"' -f 2 | sort -u |
		while IFS= read -r variable; do
		grep -qF "\"$variable\"" "$tree/src/base/env.c" ||
			printf 'src/base/env.c: %s is read, but not among env_names\n' "$variable"
	done
	sed -n '/env_names\[\] = {/,/^};/p' "$tree/src/base/env.c" | grep -oE '"[A-Z_0-9]+"' |
		tr -d '"' | while IFS= read -r variable; do
		grep -rq --include='*.c' "env_get(\"$variable\")" "$tree/src" ||
			printf 'src/base/env.c: %s is read nowhere\n' "$variable"
		awk -v name="*$variable*" '
			FNR == 1 { inside = 0 }
			/^# / { inside = $0 == "# ENVIRONMENT" }
			inside && /^\*/ && index($0, name) { found = 1 }
			END { exit !found }' "$tree"/man/*.1.scd ||
			printf 'man: no page has %s under ENVIRONMENT\n' "$variable"
	done
}
