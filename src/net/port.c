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
	err_fix(err, "write [IP:]PORT:[IP:]PORT/tcp or /udp (tcp4, udp6: of one family), for "
		     "example 127.0.0.1:8080:80/tcp or [::1]:8080:80/tcp6");
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

/* "[::1]" of this length. */
static int address_v6_parse(const char *s, size_t len, struct in6_addr *ret_address)
{
	char text[INET6_ADDRSTRLEN];

	if (len < 2 || s[len - 1] != ']' || len - 2 >= sizeof(text))
		return -EADDRNOTAVAIL;
	memcpy(text, s + 1, len - 2);
	text[len - 2] = '\0';
	return inet_pton(AF_INET6, text, ret_address) == 1 ? 0 : -EADDRNOTAVAIL;
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

/* Up to the next colon, but those of an address in brackets. */
static size_t field_length(const char *at, const char *end)
{
	const char *from = *at == '[' ? memchr(at, ']', (size_t)(end - at)) : at;
	const char *colon = from ? memchr(from, ':', (size_t)(end - from)) : NULL;

	return (size_t)((colon ? colon : end) - at);
}

static int field_address(const char *at, size_t len, bool child, struct port_spec *spec)
{
	if (*at != '[')
		return address_parse(at, len, child ? &spec->child_ip : &spec->parent_ip);
	*(child ? &spec->child_is_v6 : &spec->parent_is_v6) = true;
	return address_v6_parse(at, len, child ? &spec->child_v6 : &spec->parent_v6);
}

/* Fields between colons: two ports, each after an address that may be left out. */
static int fields_parse(const char *text, size_t len, struct port_spec *spec)
{
	const char *end = text + len;
	bool had_address = false;
	unsigned ports = 0;

	for (const char *at = text; at <= end;) {
		size_t field = field_length(at, end);
		bool child = ports == 1;
		int r;

		if (ports == 2)
			return -EINVAL;
		if (!had_address && (*at == '[' || memchr(at, '.', field))) {
			r = field_address(at, field, child, spec);
			had_address = true;
		} else {
			r = number_parse(at, field, child ? &spec->child_port : &spec->parent_port);
			had_address = false;
			ports++;
		}
		if (r < 0)
			return r;
		at += field + 1;
	}
	return ports == 2 ? 0 : -EINVAL;
}

static const struct {
	const char *name;
	bool udp;
	enum port_family family;
} protocols[] = {
	{"tcp", false, PORT_BOTH}, {"tcp4", false, PORT_V4}, {"tcp6", false, PORT_V6},
	{"udp", true, PORT_BOTH},  {"udp4", true, PORT_V4},  {"udp6", true, PORT_V6},
};

const char *port_protocol(const struct port_spec *spec)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].udp == spec->udp && protocols[i].family == spec->family)
			return protocols[i].name;
	return "";
}

/* An IPv4 address is nothing for "tcp6", and the other way round; "0.0.0.0" is any. */
static bool families_fit(const struct port_spec *spec)
{
	return spec->parent_is_v6 ? spec->family != PORT_V4
				  : spec->family != PORT_V6 || !spec->parent_ip;
}

int port_parse(const char *text, struct port_spec *ret_spec, struct rb_err *err)
{
	const char *slash = strchr(text, '/');
	struct port_spec spec = {0};
	size_t i = 0;
	int r;

	if (!slash)
		return port_wrong(text, "the protocol is missing", err);
	while (i < ARRAY_LEN(protocols) && !str_eq(slash + 1, protocols[i].name))
		i++;
	if (i == ARRAY_LEN(protocols))
		return port_wrong(text, "the protocol is neither tcp nor udp", err);
	spec.udp = protocols[i].udp;
	spec.family = protocols[i].family;
	r = fields_parse(text, (size_t)(slash - text), &spec);
	if (r < 0)
		return port_wrong(text,
				  r == -EADDRNOTAVAIL ? "the address in brackets is none"
						      : "not two ports from 1 to 65535",
				  err);
	if (!families_fit(&spec))
		return port_wrong(text, "address and protocol do not fit together", err);
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
		port_protocol(spec));
	err_fix(err, "%s",
		error == EADDRINUSE ? "end what listens there ('ss -lntup' shows it), or use "
				      "another port"
				    : "use an address of this host");
	return -error;
}

/* IPv6 as well, where the host has it: a socket of that family takes IPv4's clients too. */
static bool port_wants_v6(const struct port_spec *spec)
{
	return spec->parent_is_v6 || spec->family == PORT_V6 ||
	       (spec->family == PORT_BOTH && !spec->parent_ip);
}

static socklen_t port_address(const struct port_spec *spec, bool v6,
			      struct sockaddr_storage *ret_address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_address;
	struct sockaddr_in *four = (struct sockaddr_in *)ret_address;

	*ret_address = (struct sockaddr_storage){0};
	if (v6) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(spec->parent_port);
		six->sin6_addr = spec->parent_v6; /* any, unless one is given */
		return sizeof(*six);
	}
	four->sin_family = AF_INET;
	four->sin_port = htons(spec->parent_port);
	four->sin_addr.s_addr = htonl(spec->parent_ip);
	return sizeof(*four);
}

/* *v6: which family it is of. A kernel without IPv6 serves IPv4 where that is allowed. */
static int port_socket(const struct port_spec *spec, bool *v6)
{
	int type = (spec->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK;
	int only = spec->family == PORT_V6;
	int sock;

	*v6 = port_wants_v6(spec);
	sock = sys_socket(*v6 ? AF_INET6 : AF_INET, type, 0);
	if (sock == -EAFNOSUPPORT && *v6 && !spec->parent_is_v6 && !only) {
		*v6 = false;
		sock = sys_socket(AF_INET, type, 0);
	}
	if (sock >= 0 && *v6)
		(void)setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	return sock;
}

int port_open(const struct port_spec *spec, int *ret_fd, struct rb_err *err)
{
	bool v6;
	CLEANUP_FD int sock = port_socket(spec, &v6);
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1;

	if (sock < 0)
		return err_set(err, RB_PORT, -sock, "socket");
	/* tcp: a connection in TIME_WAIT is no obstacle; for udp it would share the port: socket(7) */
	if (spec->udp)
		(void)setsockopt(sock, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				 v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &one, sizeof(one));
	else
		(void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	size = port_address(spec, v6, &address);
	if (bind(sock, (struct sockaddr *)&address, size) < 0)
		return port_refused(spec, errno, err);
	/* two sockets with SO_REUSEADDR may be bound, but only one may listen */
	if (!spec->udp && listen(sock, SOMAXCONN) < 0)
		return port_refused(spec, errno, err);
	*ret_fd = fd_take(&sock);
	return 0;
}

int port_check(const struct port_spec *spec, struct rb_err *err)
{
	struct port_spec four = *spec;
	CLEANUP_FD int sock = -1;

	if (spec->parent_is_v6 || spec->child_is_v6 || spec->family == PORT_V6) {
		err_set(err, RB_PORT, 0, "port %u/%s: slirp4netns and pasta publish ports of IPv4",
			spec->parent_port, port_protocol(spec));
		err_fix(err, "use --port-driver=builtin");
		return -EAFNOSUPPORT;
	}
	four.family = PORT_V4;
	return port_open(&four, &sock, err);
}
