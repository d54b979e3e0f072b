/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
static const struct op_rule op_rules[OP_KINDS] = {
	[OP_SYNC] = {CHILD, 0, 0, 0, false, false},
};
