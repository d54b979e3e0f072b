/* SPDX-License-Identifier: Apache-2.0 */
/* Port specifications and why a port cannot be had. Runs in the parent. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "net/port.h"

static int port_wrong(const char *text, const char *why, struct rb_err *err)
{
	err_set(err, RB_USAGE, 0, "--publish: '%.60s': %s", text, why);
	err_fix(err, "write [IP:]PORT:[IP:]PORT/tcp or /udp, for example 127.0.0.1:8080:80/tcp");
	return -EINVAL;
}

static int address_parse(const char *s, size_t len, uint32_t *ret_address)
{
	char text[16];
	struct in_addr address;

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	if (inet_pton(AF_INET, text, &address) != 1)
		return -EINVAL;
	*ret_address = ntohl(address.s_addr);
	return 0;
}

static int number_parse(const char *s, size_t len, uint16_t *ret_port)
{
	uint64_t value;
	int rc = num_parse_u64(s, len, 65535, &value);

	if (rc < 0 || value == 0)
		return -EINVAL;
	*ret_port = (uint16_t)value;
	return 0;
}

/* Fields between colons, up to the slash: two ports, each after an address that may be left out. */
static int fields_parse(const char *text, size_t len, struct port_spec *spec)
{
	const char *end = text + len;
	uint32_t *address = &spec->parent_ip;
	uint16_t *port = &spec->parent_port;
	bool had_address = false;

	for (const char *at = text; at <= end;) {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		size_t field = (size_t)((colon ? colon : end) - at);

		if (!port)
			return -EINVAL;
		if (!had_address && memchr(at, '.', field)) {
			if (address_parse(at, field, address) < 0)
				return -EINVAL;
			had_address = true;
		} else if (number_parse(at, field, port) == 0) {
			port = port == &spec->parent_port ? &spec->child_port : NULL;
			address = &spec->child_ip;
			had_address = false;
		} else {
			return -EINVAL;
		}
		at += field + 1;
	}
	return port ? -EINVAL : 0;
}

int port_parse(const char *text, struct port_spec *ret_spec, struct rb_err *err)
{
	const char *slash = strchr(text, '/');
	struct port_spec spec = {0};

	if (!slash)
		return port_wrong(text, "the protocol is missing", err);
	if (!str_eq(slash, "/tcp") && !str_eq(slash, "/udp"))
		return port_wrong(text, "the protocol is neither tcp nor udp", err);
	spec.udp = str_eq(slash, "/udp");
	if (fields_parse(text, (size_t)(slash - text), &spec) < 0)
		return port_wrong(text, "not two ports from 1 to 65535", err);
	*ret_spec = spec;
	return 0;
}

static int64_t unprivileged_start(void)
{
	char text[16];
	uint64_t value;
	ssize_t len = file_read_small(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start",
				      text, sizeof(text));

	if (len <= 0 || num_parse_u64(text, strspn(text, "0123456789"), 65536, &value) < 0)
		return 1024;
	return (int64_t)value;
}

static int port_refused(const struct port_spec *spec, int error, struct rb_err *err)
{
	if (error == EACCES && spec->parent_port < unprivileged_start()) {
		err_set(err, RB_PORT, 0, "port %u is privileged", spec->parent_port);
		err_fix(err,
			"sudo sysctl -w net.ipv4.ip_unprivileged_port_start=%u, or publish a port "
			"above %u",
			spec->parent_port, (unsigned)unprivileged_start() - 1);
		return -EACCES;
	}
	err_set(err, RB_PORT, error, "cannot publish port %u/%s", spec->parent_port,
		spec->udp ? "udp" : "tcp");
	err_fix(err, "%s",
		error == EADDRINUSE ? "end what listens there ('ss -lntup' shows it), or use "
				      "another port"
				    : "use an address of this host");
	return -error;
}

int port_open(const struct port_spec *spec, int *ret_fd, struct rb_err *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(spec->parent_port),
		.sin_addr.s_addr = htonl(spec->parent_ip),
	};
	int type = (spec->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK;
	CLEANUP_FD int sock = sys_socket(AF_INET, type, 0);
	int one = 1;

	if (sock < 0)
		return err_set(err, RB_PORT, -sock, "socket");
	/* tcp: a connection in TIME_WAIT is no obstacle; for udp it would share the port: socket(7) */
	if (spec->udp)
		(void)setsockopt(sock, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	else
		(void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return port_refused(spec, errno, err);
	/* two sockets with SO_REUSEADDR may be bound, but only one may listen */
	if (!spec->udp && listen(sock, SOMAXCONN) < 0)
		return port_refused(spec, errno, err);
	*ret_fd = fd_take(&sock);
	return 0;
}

int port_check(const struct port_spec *spec, struct rb_err *err)
{
	CLEANUP_FD int sock = -1;

	return port_open(spec, &sock, err);
}
