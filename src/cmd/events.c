/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `events`: one line of JSON per reading of the container's cgroup, and one when the OOM killer
 * has struck, until the container ends. With --stats one reading, then the end.
 */
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"

struct events_options {
	bool stats;
	const char *interval;
};

#define OPT(member) offsetof(struct events_options, member)

static const struct option_entry events_option_table[] = {
	{"stats", 0, OPTION_FLAG, OPT(stats), NULL, "print one reading and end"},
	{"interval", 0, OPTION_STRING, OPT(interval), "TIME",
	 "between readings: 5s (default), 100ms"},
	OPTION_END,
};

/* Go's durations, as far as they make sense here: "100ms", "5s", "1m30s", "1h". */
static int parse_interval(const char *text, int64_t *ret_ms, struct rb_err *err)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	int64_t sum = 0;

	for (const char *at = text; *at;) {
		size_t digits = strspn(at, "0123456789");
		size_t letters = strcspn(at + digits, "0123456789");
		uint64_t value;
		int64_t unit = 0;

		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (strlen(units[i].unit) == letters &&
			    memcmp(at + digits, units[i].unit, letters) == 0)
				unit = units[i].ms;
		if (unit == 0 || num_parse_u64(at, digits, 1000000, &value) < 0) {
			sum = 0;
			break;
		}
		sum += (int64_t)value * unit;
		at += digits + letters;
	}
	if (sum <= 0 || sum > INT_MAX) {
		err_set(err, RB_USAGE, 0, "duration interval must be greater than 0: '%.40s'",
			text);
		err_fix(err, "use for example 5s or 100ms");
		return -EINVAL;
	}
	*ret_ms = sum;
	return 0;
}

static int print_event(const char *type, const char *id, const struct cgroup *cgroup,
		       struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	strbuf_printf(&text, "{\"type\":\"%s\",\"id\":", type);
	strbuf_add_json(&text, id);
	if (cgroup) {
		strbuf_add(&text, ",\"data\":");
		cgroup_stats(cgroup, &text);
	}
	strbuf_add(&text, "}\n");
	return print_all(&text, err);
}

/* OOM kills are noticed within this time; the kernel's notification differs on v1 and v2. */
enum { OOM_POLL_MS = 100 };

static int events_follow(const struct container *container, const struct cgroup *cgroup, int init,
			 int64_t interval_ms, struct rb_err *err)
{
	struct pollfd end = {.fd = init, .events = POLLIN};
	int64_t next = sys_now_ms() + interval_ms;
	uint64_t kills = cgroup_oom_kills(cgroup);
	int r = 0;

	while (r == 0) {
		int64_t left = next - sys_now_ms();
		int wait = left <= 0 ? 0 : left < OOM_POLL_MS ? (int)left : OOM_POLL_MS;
		bool ended = poll(&end, 1, wait) == 1;
		uint64_t now = cgroup_oom_kills(cgroup);

		if (now > kills)
			r = print_event("oom", container->id, NULL, err);
		kills = now > kills ? now : kills;
		if (ended)
			return r;
		if (r == 0 && sys_now_ms() >= next) {
			r = print_event("stats", container->id, cgroup, err);
			next += interval_ms;
		}
	}
	return r;
}

static int events_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct events_options *events_options = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	CLEANUP_FD int init = -1;
	int64_t interval_ms = 5000;
	int r;

	if ((events_options->interval &&
	     (r = parse_interval(events_options->interval, &interval_ms, err)) < 0) ||
	    (r = open_container(arena, globals, argv[0], &root, &container, err)) < 0)
		return r;
	init = container_init_open(&container);
	if (init < 0) {
		err_set(err, RB_NOT_RUNNING, 0, "container with id %s is not running", argv[0]);
		return -ESRCH;
	}
	if ((r = open_container_cgroup(arena, &container, &cgroup, err)) < 0)
		return r;
	if (events_options->stats)
		return print_event("stats", argv[0], &cgroup, err);
	return events_follow(&container, &cgroup, init, interval_ms, err);
}

const struct verb verb_events = {
	.name = "events",
	.summary = "print readings of a container's cgroup and OOM events as JSON",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = events_option_table,
	.options_size = sizeof(struct events_options),
	.run = events_main,
};
