/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "net" of a step: none, the worker's, one that the peer has made, or one by slirp4netns with
 * its options. The names of a port's members are RootlessKit's. Pure.
 */
#include <arpa/inet.h>
#include "base/sys.h"
#include "spec/step_read.h"

/* slirp4netns(1): less than 65522; RFC 791: 68 is what every host must take. */
enum { MTU_LEAST = 68, MTU_MOST = 65521 };

static int read_address(struct step_parser *p, const struct json_node *node, const char *key,
			uint32_t *ret)
{
	const char *text = NULL;
	struct in_addr address;
	int r = read_string(&p->base, node, key, &text);

	if (r < 0 || !text || !text[0])
		return r;
	if (inet_pton(AF_INET, text, &address) != 1)
		return json_error(json_member(node, key), p->base.err, RB_CONFIG_VALUE,
				  "\"%.60s\" is not an IPv4 address", text);
	*ret = ntohl(address.s_addr);
	return 0;
}

static int read_number(struct step_parser *p, const struct json_node *node, const char *key,
		       uint16_t *ret)
{
	uint64_t value = 0;
	int r = step_read_u64(p, node, key, &value);

	if (r < 0)
		return r;
	if (!json_member(node, key))
		return read_missing(&p->base, node, key);
	if (value < 1 || value > UINT16_MAX)
		return json_error(json_member(node, key), p->base.err, RB_CONFIG_VALUE,
				  "a port is a number from 1 to 65535");
	*ret = (uint16_t)value;
	return 0;
}

static int read_port(struct step_parser *p, const struct json_node *node, struct step_port *port)
{
	static const char *const protocols[] = {"tcp", "udp", NULL};
	unsigned protocol = 0;
	int r;

	step_known(p, node, "proto parentIP parentPort childIP childPort");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = step_read_word(p, node, "proto", protocols, &protocol)) < 0 ||
	    (r = read_address(p, node, "parentIP", &port->parent_ip)) < 0 ||
	    (r = read_address(p, node, "childIP", &port->child_ip)) < 0 ||
	    (r = read_number(p, node, "parentPort", &port->parent_port)) < 0 ||
	    (r = read_number(p, node, "childPort", &port->child_port)) < 0)
		return r;
	port->udp = protocol == 1;
	port->origin = read_origin(&p->base, node);
	return 0;
}

static int check_port(struct step_parser *p, const struct json_node *node,
		      const struct step_port *ports, size_t n)
{
	const struct step_port *port = &ports[n];

	for (size_t i = 0; i < n; i++)
		if (ports[i].udp == port->udp && ports[i].parent_port == port->parent_port &&
		    (ports[i].parent_ip == port->parent_ip || !ports[i].parent_ip ||
		     !port->parent_ip))
			return json_error(node, p->base.err, RB_CONFIG_CONFLICT,
					  "port %u/%s of the host is published twice",
					  port->parent_port, port->udp ? "udp" : "tcp");
	return 0;
}

static int read_ports(struct step_parser *p, const struct json_node *net, struct step_slirp *slirp)
{
	const struct json_node *array = NULL;
	struct step_port *ports;
	size_t n = 0;
	int r = read_array(&p->base, net, "ports", LIMIT_STEP_PORTS, &array);

	if (r < 0 || (r = read_alloc(&p->base, array, sizeof(*ports), &ports)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		if ((r = read_port(p, item, &ports[n])) < 0 ||
		    (r = check_port(p, item, ports, n)) < 0)
			return r;
		n++;
	}
	slirp->ports = ports;
	slirp->n_ports = n;
	return 0;
}

/* "builtin", "none", or the address of a name server instead of the worker's. */
static int read_dns(struct step_parser *p, const struct json_node *net,
		    const struct json_node *node, struct step *step)
{
	const char *dns = NULL;
	struct in_addr address;
	int r = read_string(&p->base, net, "dns", &dns);

	if (r < 0 || !dns || str_eq(dns, "builtin"))
		return r;
	step->slirp.no_dns = str_eq(dns, "none");
	if (step->slirp.no_dns)
		return 0;
	if (inet_pton(AF_INET, dns, &address) != 1)
		return json_error(json_member(net, "dns"), p->base.err, RB_CONFIG_VALUE,
				  "\"%.60s\" is neither builtin, none nor an IPv4 address", dns);
	if (json_member(node, "resolv"))
		return json_error(json_member(net, "dns"), p->base.err, RB_CONFIG_CONFLICT,
				  "only one of \"resolv\" and a name server can be given");
	step->resolv = arena_printf(p->base.arena, "nameserver %s\n", dns);
	return step->resolv ? 0 : err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "dns");
}

static int read_slirp(struct step_parser *p, const struct json_node *net,
		      const struct json_node *node, struct step *step)
{
	struct step_slirp *slirp = &step->slirp;
	int r;

	if ((r = read_string(&p->base, net, "cidr", &slirp->cidr)) < 0 ||
	    (r = read_u32(&p->base, net, "mtu", &slirp->mtu)) < 0 ||
	    (r = read_bool(&p->base, net, "allowHostLoopback", &slirp->allow_host_loopback)) < 0 ||
	    (r = read_ports(p, net, slirp)) < 0 || (r = read_dns(p, net, node, step)) < 0)
		return r;
	if (json_member(net, "mtu") && (slirp->mtu < MTU_LEAST || slirp->mtu > MTU_MOST))
		return json_error(json_member(net, "mtu"), p->base.err, RB_CONFIG_VALUE,
				  "%u is not between %u and %u", slirp->mtu, MTU_LEAST, MTU_MOST);
	return 0;
}

int step_read_net(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const char *const modes[] = {"none", "host", "slirp", "netns", NULL};
	static const char *const of_slirp[] = {"cidr", "mtu", "dns", "allowHostLoopback", "ports"};
	const struct json_node *net = NULL;
	unsigned mode = STEP_NET_NONE;
	int r;

	if ((r = read_object(&p->base, node, "net", &net)) < 0 ||
	    (r = step_read_word(p, net, "mode", modes, &mode)) < 0 ||
	    (r = step_read_fd(p, net, "netnsFd", &step->netns_fd)) < 0)
		return r;
	step_known(p, net, "mode netnsFd mtu cidr dns allowHostLoopback ports");
	step->net = (enum step_net)mode;
	for (size_t i = 0; step->net != STEP_NET_SLIRP && i < ARRAY_LEN(of_slirp); i++)
		if (json_member(net, of_slirp[i]))
			return json_error(json_member(net, of_slirp[i]), p->base.err,
					  RB_CONFIG_CONFLICT, "\"%s\" is for the mode slirp",
					  of_slirp[i]);
	if ((step->net == STEP_NET_NETNS) != (step->netns_fd != STEP_NO_FD))
		return json_error(net, p->base.err, RB_CONFIG_CONFLICT,
				  "\"netnsFd\" and the mode netns belong together");
	return step->net == STEP_NET_SLIRP ? read_slirp(p, net, node, step) : 0;
}
