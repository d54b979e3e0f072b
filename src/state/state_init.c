/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links of a container's directory that name a process: "init", which is its first and how it
 * was started, and "network", the keeper of its network. Runs wherever state is read, with the
 * caller's privilege. Each is one link so that it is there whole or not at all, and a container can
 * be ended when nothing else can be read.
 */
#include "base/num.h"
#include "base/sys.h"
#include "state/state.h"

/* The number at *at, which ends at `end`; *at moves behind that. */
static int init_number(const char **at, char end, uint64_t max, uint64_t *ret)
{
	size_t len = strcspn(*at, " ");

	if (num_parse_u64(*at, len, max, ret) < 0 || (*at)[len] != end)
		return -EINVAL;
	*at += len + (end != '\0');
	return 0;
}

void state_process_text(const struct state_process *process, unsigned flags,
			char ret_text[STATE_INIT_BYTES])
{
	snprintf(ret_text, STATE_INIT_BYTES, "%d %" PRIu64 " %s %u", (int)process->pid,
		 process->start, process->boot, flags);
}

/* "PID START BOOT FLAGS": as strict as it is written, because a signal follows from it. */
static int init_parse(const char *text, struct state_process *ret_init, unsigned *ret_flags)
{
	struct state_process init = {0};
	uint64_t pid;
	uint64_t flags;
	size_t len;

	if (init_number(&text, ' ', INT_MAX, &pid) < 0 || pid == 0 ||
	    init_number(&text, ' ', UINT64_MAX, &init.start) < 0)
		return -EINVAL;
	len = strspn(text, "0123456789abcdef-");
	if (len == 0 || len >= sizeof(init.boot) || text[len] != ' ')
		return -EINVAL;
	memcpy(init.boot, text, len);
	text += len + 1;
	if (init_number(&text, '\0', UINT_MAX, &flags) < 0)
		return -EINVAL;
	init.pid = (pid_t)pid;
	*ret_init = init;
	*ret_flags = (unsigned)flags;
	return 0;
}

int container_parse_init(struct container *container, const char *text)
{
	int r = init_parse(text, &container->init, &container->flags);

	if (r == 0)
		container->has_init = true;
	return r;
}

static int link_read(const struct container *container, const char *name,
		     char ret_text[STATE_INIT_BYTES])
{
	ssize_t len = readlinkat(container->dir, name, ret_text, STATE_INIT_BYTES - 1);

	if (len < 0)
		return -errno;
	ret_text[len] = '\0';
	return 0;
}

int container_reload(struct container *container)
{
	char text[STATE_INIT_BYTES];
	int r = link_read(container, "init", text);

	return r < 0 ? r : container_parse_init(container, text);
}

int container_note_network(const struct container *container, pid_t keeper)
{
	char text[STATE_INIT_BYTES];
	struct state_process process;
	int r = state_process_identify(keeper, &process);

	if (r < 0)
		return r;
	state_process_text(&process, 0, text);
	return symlinkat(text, container->dir, "network") < 0 ? -errno : 0;
}

int container_network_open(const struct container *container)
{
	char text[STATE_INIT_BYTES];
	struct state_process keeper;
	unsigned flags;
	int r = link_read(container, "network", text);

	if (r == 0)
		r = init_parse(text, &keeper, &flags);
	/* a link that is damaged leads to nobody */
	return r < 0 ? -ESRCH : state_process_open(&keeper);
}

int container_init_open(const struct container *container)
{
	return container->has_init ? state_process_open(&container->init) : -ESRCH;
}
