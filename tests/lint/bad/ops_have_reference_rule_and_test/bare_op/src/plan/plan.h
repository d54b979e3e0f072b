/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A sample that breaks one rule of the lint and no other. */
#define PLAN_OPS(X) \
	X(OP_SYNC,            "sync")            /* stage: recvmsg(2) */ \
	X(OP_MAGIC,           "magic")           /* does something */

enum plan_op_kind {
#define X(kind, name) kind,
	PLAN_OPS(X)
#undef X
};
