/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What child and parent say to each other over a SOCK_SEQPACKET pair: one fixed-size record per
 * message. The child never prints; the parent words the failure.
 *
 *	child -> parent   REACHED stage     waits for GO of the same stage
 *	parent -> child   GO stage
 *	child -> parent   TTY               with the terminal's master as SCM_RIGHTS
 *	child -> parent   FAIL op errnum    and exits
 *	child -> parent   EXEC              only the filter and execve are left
 *	child -> parent   LISTENER          with the filter's listener as SCM_RIGHTS
 *	child -> parent   WAITING           the first part is done
 *	parent -> child   PLAN op           with the second part and its descriptors; op: bytes of
 *	                                    the plan behind the record, 0: the first descriptor
 *
 * End of file after EXEC is success: execve closed the socket. FAIL after EXEC: the filter or
 * execve failed. End of file without EXEC: the child was killed while it set up. End of file in
 * the child: the parent is gone, and the child exits.
 */
#include "plan/plan.h"

#define HANDSHAKE_MAGIC   0x68736b62u /* "bksh" */
#define HANDSHAKE_VERSION 1u

enum handshake_type {
	HS_REACHED = 1,
	HS_GO,
	HS_TTY,
	HS_FAIL,
	HS_EXEC,
	HS_LISTENER,
	HS_WAITING,
	HS_PLAN
};

/*
 * A seccomp filter around us forbids all new mounts; or the file system does not take one of its
 * options: HS_STATUS_OPTION and its place in the op's list; or a mount point was asked for that
 * its source does not fit.
 */
enum { HS_STATUS_SOURCE = -1, HS_STATUS_FILTER = 1, HS_STATUS_OPTION = 2 };

struct handshake {
	uint32_t magic;
	uint16_t version;
	uint8_t type;     /* enum handshake_type */
	uint8_t stage;    /* enum plan_stage; REACHED and GO */
	uint32_t op;      /* FAIL: position in the child's list; PLAN: bytes that follow */
	uint32_t kind;    /* FAIL: enum plan_op_kind */
	int32_t errnum;   /* FAIL: positive errno */
	int32_t status;   /* FAIL of a hook: its wait status, or -1 when it ran out of time;
			     of a mount: HS_STATUS_*, HS_STATUS_OPTION and more, or 0;
			     of landlock: its rule, from 1 */
	char detail[104]; /* FAIL: the op's string, cut; for readers without the plan (`start`) */
	char origin[64];  /* FAIL: the op's origin, cut */
};
_Static_assert(sizeof(struct handshake) == 192, "struct handshake is a wire format");

/*
 * Sends one record, with fd (borrowed) as SCM_RIGHTS unless it is -1; fills in magic and version.
 * Async-signal-safe. 0 or -errno; -EPIPE: the other side is gone. Defined in exec_run.c.
 */
int handshake_send(int sock, struct handshake *record, int fd);
