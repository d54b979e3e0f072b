/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the parsers of this folder share: reading optional members of an object into checked
 * values. All return 0 or -errno with *p->err set, and leave *ret untouched when the member is
 * absent or null.
 */
#include "spec/spec.h"

struct spec_parser {
	struct arena *arena;
	struct rb_err *err;
	const char *bundle; /* absolute; "" where relative paths are not allowed */
};

int read_string(struct spec_parser *p, const struct json_node *object, const char *key,
		const char **ret);
int read_bool(struct spec_parser *p, const struct json_node *object, const char *key, bool *ret);
int read_u32(struct spec_parser *p, const struct json_node *object, const char *key, uint32_t *ret);

/* A uid or gid: SPEC_ID_NONE is refused. */
int read_id(struct spec_parser *p, const struct json_node *object, const char *key, uint32_t *ret);
int read_id_node(struct spec_parser *p, const struct json_node *node, uint32_t *ret);

/* An array of strings. */
int read_strings(struct spec_parser *p, const struct json_node *object, const char *key,
		 struct spec_strings *ret);

/* The member as an object or array; *ret is NULL when absent. */
int read_object(struct spec_parser *p, const struct json_node *object, const char *key,
		const struct json_node **ret);
int read_array(struct spec_parser *p, const struct json_node *object, const char *key, size_t max,
	       const struct json_node **ret);

/* Room for one element per child of an array (NULL: none); -ENOMEM sets the error. */
int read_alloc(struct spec_parser *p, const struct json_node *array, size_t size, void *ret);

/* The pointer of a node in the parser's arena. */
const char *read_origin(struct spec_parser *p, const struct json_node *node);

/* Refuses a member that this version does not implement; 0 when it is absent. */
int read_unsupported(struct spec_parser *p, const struct json_node *object, const char *key);

/* Absent is an error: RB_CONFIG_MISSING with the object as origin. */
int read_missing(struct spec_parser *p, const struct json_node *object, const char *key);

/* One bit per name of an array of strings of capabilities. */
int read_caps(struct spec_parser *p, const struct json_node *process, struct spec_caps *ret,
	      bool *ret_unknown);

/* RLIMIT_... for "RLIMIT_NOFILE", or -1. */
int spec_rlimit_number(const char *name);

/* Parts that step descriptions share with config.json. */
int spec_read_oom_score(struct spec_parser *p, const struct json_node *node,
			struct spec_process *process);
int spec_read_mount_options(struct spec_parser *p, const struct json_node *node,
			    struct spec_mount *mount);

/* The parts of a document, each in a file of its own. */
int spec_read_process(struct spec_parser *p, const struct json_node *node,
		      struct spec_process *process);
int spec_read_process_scheduling(struct spec_parser *p, const struct json_node *node,
				 struct spec_process *process);
int spec_read_linux_scheduling(struct spec_parser *p, const struct json_node *node,
			       struct spec *spec);

/* An id map, also of a mount. *ret is untouched when the member is absent. */
int read_idmap(struct spec_parser *p, const struct json_node *node, const char *key,
	       const struct spec_idmap **ret, size_t *ret_n);
int spec_read_mounts(struct spec_parser *p, const struct json_node *array, struct spec *spec);
int spec_read_linux(struct spec_parser *p, const struct json_node *node, struct spec *spec);
int spec_read_hooks(struct spec_parser *p, const struct json_node *node, struct spec *spec);
int spec_read_seccomp(struct spec_parser *p, const struct json_node *node,
		      struct spec_seccomp *seccomp);

/* CLONE_NEW... for a name, or 0; MS_... for "rslave" and the like (with *ret_recursive), or 0. */
uint64_t spec_namespace_type(const char *name);
uint64_t spec_propagation(const char *name, bool *ret_recursive);
/* The other way: the name without "r"; the word that sets or clears one attribute. NULL: none. */
const char *spec_propagation_name(uint64_t flag);
const char *spec_attribute_word(uint64_t attribute, bool set);
