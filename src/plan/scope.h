/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A container's group as a scope unit of systemd: cgroupsPath "SLICE:PREFIX:NAME" and the limits
 * as properties, so that systemd does not undo them when it reloads. Pure.
 * Reference: systemd.resource-control(5), org.freedesktop.systemd1(5).
 */
#include "host/host.h"
#include "spec/spec.h"

struct scope {
	const char *slice; /* "user.slice" */
	const char *unit;  /* "PREFIX-NAME.scope" */
	const char *const
		*properties; /* "NAME=TYPE:VALUE", TYPE as in D-Bus: t, ay (in hex), v (as text) */
	size_t n_properties;
};

/* Errors: RB_CONFIG_VALUE for a cgroupsPath of another form. */
int scope_describe(struct arena *arena, const struct spec *spec, const struct host *host,
		   const char *id, struct scope *ret_scope, struct rb_err *err);

/*
 * Where the system's systemd keeps the scope's group in every hierarchy, "/a.slice/a-b.slice/UNIT";
 * NULL for a unit that it files under another name. systemd.slice(5).
 */
const char *scope_group(struct arena *arena, const struct scope *scope);

/* The properties alone: `update`. */
int scope_properties(struct arena *arena, const struct spec_resources *resources,
		     const struct host *host, struct scope *ret_scope, struct rb_err *err);
