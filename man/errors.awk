# SPDX-License-Identifier: Apache-2.0
#
# Writes runbuild-errors.7.scd from the numbers in base/err.h and the texts in
# diag/catalogue.c:  awk -f errors.awk err.h catalogue.c

# The characters that scdoc(5) gives a meaning.
function plain(text)
{
	gsub(/\\"/, "\"", text)
	gsub(/[\\*_#~|<>[\]]/, "\\\\&", text)
	return text
}

FNR == NR {
	if (match($0, /X\(RB_[A-Z0-9_]+, [0-9]+\)/)) {
		split(substr($0, RSTART + 2, RLENGTH - 3), pair, ", ")
		number[pair[1]] = pair[2]
	}
	next
}

/ entries\[\] = \{$/ { inside = 1; next }
/^\};/ { inside = 0 }
inside { sub(/^[ \t]+/, ""); text = text $0 }

# An entry is {CODE, "title", "cause", "fix"}; a string may be cut in pieces.
END {
	print "runbuild-errors(7)\n"
	print "# NAME\n\nrunbuild-errors - the error codes of runbuild, their causes and remedies\n"
	print "# DESCRIPTION\n"
	print "Every error of *runbuild*(1) has a stable code. A code names one cause and is never"
	print "used for another. The message beside it has the particulars; *runbuild explain*"
	print "_RBnnnn_ prints the entry of one code.\n"
	print "# CODES\n"
	while (match(text, /\{RB_[A-Z0-9_]+,/)) {
		code = substr(text, RSTART + 1, RLENGTH - 2)
		text = substr(text, RSTART + RLENGTH)
		for (i = 1; i <= 3; i++) {
			part[i] = ""
			sub(/^,? */, "", text)
			while (match(text, /^"([^"\\]|\\.)*" */)) {
				piece = substr(text, 1, RLENGTH)
				text = substr(text, RLENGTH + 1)
				sub(/^"/, "", piece)
				sub(/" *$/, "", piece)
				part[i] = part[i] piece
			}
		}
		printf "*RB%04d* %s\n\t%s\n\n\tRemedy: %s\n\n", number[code], plain(part[1]), \
		       plain(part[2]), plain(part[3])
	}
	print "# SEE ALSO\n\n*runbuild*(1), *runbuild-explain*(1)"
}
