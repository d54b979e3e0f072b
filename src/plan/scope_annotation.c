/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Annotations org.systemd.property.NAME as properties of the scope, as runc and crun take them:
 * the value is the text of a D-Bus value, and NAMESec in seconds is NAMEUSec in microseconds. Pure.
 */
#include "base/variant.h"
#include "plan/scope_annotation.h"

static const char prefix[] = SCOPE_ANNOTATION;

static int annotation_error(struct arena *arena, const struct spec_annotation *annotation,
			    const char *why, struct rb_err *err)
{
	bool plain = !strpbrk(annotation->key, "/~"); /* of a JSON pointer: RFC 6901 */

	err_set(err, RB_CONFIG_VALUE, 0, "annotation %.100s=%.100s: %s", annotation->key,
		annotation->value, why);
	err_origin(err, plain ? arena_printf(arena, "/annotations/%s", annotation->key)
			      : "/annotations");
	err_fix(err, "give a property of systemd.unit(5), and its value in the text format of "
		     "GVariant, such as 'text', true, uint64 5 or ['a', 'b']");
	return -EINVAL;
}

/* Letters only, at least three, as runc has it; the helper has room for this many. */
static bool is_property_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return name[len] == '\0' && len >= 3 && len < SCOPE_NAME_BYTES;
}

static bool is_in_seconds(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && str_eq(name + len - 3, "Sec") && name[len - 4] >= 'a' &&
	       name[len - 4] <= 'z';
}

/* A number of seconds that is not below zero, in microseconds. */
static bool microseconds(const struct variant *value, uint64_t *ret)
{
	double seconds;

	if (value->kind != VARIANT_NUMBER)
		return false;
	if (value->type[0] != 'd') {
		if (value->text[0] == '-' && value->number != 0)
			return false;
		return !__builtin_mul_overflow(value->number, UINT64_C(1000000), ret);
	}
	memcpy(&seconds, &value->number, sizeof(seconds));
	seconds *= 1e6;
	if (!(seconds >= 0 && seconds < 18446744073709551616.0))
		return false;
	*ret = (uint64_t)seconds;
	return true;
}

static int annotation_property(struct arena *arena, const struct spec_annotation *annotation,
			       const char **ret_property, struct rb_err *err)
{
	const char *name = annotation->key + sizeof(prefix) - 1;
	const struct variant *value;
	const char *why;
	uint64_t time;
	int r;

	if (!is_property_name(name))
		return annotation_error(arena, annotation,
					"the name of a property has letters only", err);
	r = variant_parse(arena, annotation->value, &value, &why);
	if (r == -ENOMEM)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd properties");
	if (r < 0)
		return annotation_error(arena, annotation, why, err);
	if (!is_in_seconds(name))
		*ret_property = arena_printf(arena, "%s=v:%s", name, annotation->value);
	else if (microseconds(value, &time))
		*ret_property = arena_printf(arena, "%.*sUSec=v:uint64 %" PRIu64,
					     (int)strlen(name) - 3, name, time);
	else
		return annotation_error(arena, annotation, "not a number of seconds", err);
	return *ret_property ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "systemd properties");
}

int scope_annotations(struct arena *arena, const struct spec *spec, const char **v, size_t *ret_n,
		      struct rb_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < spec->n_annotations; i++) {
		int r;

		if (!str_starts(spec->annotations[i].key, prefix))
			continue;
		r = annotation_property(arena, &spec->annotations[i], &v[n++], err);
		if (r < 0)
			return r;
	}
	*ret_n = n;
	return 0;
}
