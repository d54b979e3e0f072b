/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files stay open with the namespace: they can be read again when its last process is gone, and
 * nobody has to enter it for that.
 */
#include "base/num.h"
#include "base/sys.h"
#include "worker/used_net.h"

static int net_file(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return sys_openat(AT_FDCWD, path, O_RDONLY, 0);
}

bool used_net_open(struct used_net *net, pid_t pid)
{
	net->kernel_sockets = -1;
	net->ns = net_file(pid, "ns/net");
	net->devices = net_file(pid, "net/dev");
	net->sockets = net_file(pid, "net/sockstat");
	if (net->ns >= 0 && net->devices >= 0 && net->sockets >= 0)
		return true;
	used_net_close(net);
	return false;
}

void used_net_close(struct used_net *net)
{
	if (net->ns < 0)
		return;
	fd_close(&net->devices);
	fd_close(&net->sockets);
	fd_close(&net->ns);
}

/* The loopback device alone, and all of its counters 0. */
static bool is_silent(int devices)
{
	char text[1024];
	ssize_t len = pread(devices, text, sizeof(text) - 1, 0);
	const char *line;

	if (len <= 0)
		return false;
	text[len] = '\0';
	line = strrchr(text, '|');
	line = line ? strchr(line, '\n') : NULL;
	if (!line)
		return false;
	line += 1 + strspn(line + 1, " ");
	if (strncmp(line, "lo:", 3) != 0)
		return false;
	return strcmp(line + 3 + strspn(line + 3, " 0"), "\n") == 0;
}

/* -1: unknown. */
static long count_sockets(int sockets)
{
	static const char name[] = "sockets: used ";
	char text[64];
	ssize_t len = pread(sockets, text, sizeof(text) - 1, 0);
	size_t digits;
	uint64_t n;

	if (len <= 0)
		return -1;
	text[len] = '\0';
	if (strncmp(text, name, sizeof(name) - 1) != 0)
		return -1;
	digits = strcspn(text + sizeof(name) - 1, "\n");
	return num_parse_u64(text + sizeof(name) - 1, digits, INT_MAX, &n) == 0 ? (long)n : -1;
}

void used_net_count(struct used_net *net)
{
	if (net->ns >= 0 && net->kernel_sockets < 0)
		net->kernel_sockets = count_sockets(net->sockets);
}

bool used_nets_take(struct used_nets *nets, struct used_net *ret_net)
{
	if (nets->n == 0)
		return false;
	*ret_net = nets->idle[--nets->n];
	return true;
}

void used_nets_give(struct used_nets *nets, struct used_net *net)
{
	if (nets->n < USED_NETS && net->ns >= 0 && net->kernel_sockets >= 0 &&
	    count_sockets(net->sockets) == net->kernel_sockets && is_silent(net->devices)) {
		nets->idle[nets->n++] = *net;
		net->ns = -1;
	}
	used_net_close(net);
}

void used_nets_close(struct used_nets *nets)
{
	while (nets->n)
		used_net_close(&nets->idle[--nets->n]);
}
