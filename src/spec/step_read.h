/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parsers of step descriptions share; private to spec/. */
#include "spec/spec_read.h"
#include "spec/step.h"

struct step_parser {
	struct spec_parser base;
	struct step_unknown *unknown;
	uint32_t n_fds;
	uint32_t used_fds; /* bit N: index N was named */
};

/* Notes members of the object that are not in the list ("a b c"). */
void step_known(struct step_parser *p, const struct json_node *object, const char *names);

/* An index of a descriptor; *ret stays STEP_NO_FD when absent. Errors: RB_STEP_FDS. */
int step_read_fd(struct step_parser *p, const struct json_node *object, const char *key, int *ret);

/* One of the words of a NULL-terminated list; *ret (its position) is untouched when absent. */
int step_read_word(struct step_parser *p, const struct json_node *object, const char *key,
		   const char *const *words, unsigned *ret);

int step_read_u64(struct step_parser *p, const struct json_node *object, const char *key,
		  uint64_t *ret);

/* The parts, each in a file of its own. node may be NULL: absent. */
int step_read_process(struct step_parser *p, const struct json_node *node, struct step *step);
int step_read_rootfs(struct step_parser *p, const struct json_node *node, struct step *step);
int step_read_mounts(struct step_parser *p, const struct json_node *node, struct step *step);
int step_read_snapshot(struct step_parser *p, const struct json_node *node,
		       const struct step_snapshot **ret);
int step_read_net(struct step_parser *p, const struct json_node *node, struct step *step);
int step_read_sandbox(struct step_parser *p, const struct json_node *node, struct step *step);
int step_read_io(struct step_parser *p, const struct json_node *node, struct step *step);
