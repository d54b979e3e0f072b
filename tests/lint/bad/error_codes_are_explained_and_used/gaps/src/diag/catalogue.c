/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
	{RB_USAGE, "wrong usage", "An option is unknown.", "Run the verb with --help."},
	{RB_NO_FIX, "no fix", "It is broken.", ""},
	{RB_UNUSED, "unused", "Nothing "
	 "uses it.", "Use it."},
