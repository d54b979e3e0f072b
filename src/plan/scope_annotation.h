/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Properties of a scope that the configuration's annotations give. Pure. */
#include "spec/spec.h"

#define SCOPE_ANNOTATION "org.systemd.property."
enum { SCOPE_NAME_BYTES = 60 }; /* of a property's name, with its end mark */

/*
 * "NAME=v:TEXT" into v, which has room for as many as there are annotations. Errors:
 * RB_CONFIG_VALUE for a name or a value that cannot be one.
 */
int scope_annotations(struct arena *arena, const struct spec *spec, const char **v, size_t *ret_n,
		      struct rb_err *err);
