/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network that the configuration cannot ask for: a rootless BuildKit leaves every step in its
 * daemon's, so the caller's policy decides. Pure. slirp4netns is started as early as there is a
 * namespace and awaited as late as possible: it gets ready while the child mounts.
 */
#include "base/sys.h"
#include "plan/plan_blob.h"

enum { STEP_MTU = 65520 }; /* what the launcher's own network has: net.h */

bool plan_network_by_policy(const struct plan_blob *b)
{
	return b->first_process && b->options->network.mode != PLAN_NETWORK_SPEC;
}

static bool plan_has_slirp(const struct plan_blob *b)
{
	return b->first_process && b->options->network.mode == PLAN_NETWORK_SLIRP;
}

bool plan_mount_is_text(const struct plan_blob *b, const struct spec_mount *mount)
{
	return b->options->network.resolv_conf && mount->bind && !mount->handed && !mount->idmap &&
	       str_eq(mount->destination, "/etc/resolv.conf");
}

void plan_add_text(struct plan_blob *b, const struct spec_mount *mount)
{
	uint32_t name = blob_str(b, "resolv.conf");
	uint32_t text = blob_str(b, b->options->network.resolv_conf);
	struct plan_op *op = blob_child(b, OP_TEXT_FILE, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = name;
	op->str[1] = text;
}

void plan_add_lent_network(struct plan_blob *b)
{
	uint32_t pool;
	struct plan_op *op;

	if (!b->first_process || b->options->network.mode != PLAN_NETWORK_LENT)
		return;
	pool = blob_str(b, b->options->network.pool);
	op = blob_parent(b, OP_TAKE_NETWORK, NULL);
	op->slot = SLOT_NET_NS;
	op->str[0] = pool;
}

/* A container that outlives the runtime keeps its network by a process of its own. */
void plan_add_network(struct plan_blob *b)
{
	const struct plan_network *network = &b->options->network;
	uint32_t helper;
	uint32_t socket;
	struct plan_op *op;

	if (!plan_has_slirp(b))
		return;
	helper = blob_str(b, network->helper);
	socket = blob_str(b, network->api_socket);
	op = blob_parent(b, b->options->foreground ? OP_STEP_NETWORK : OP_KEEP_NETWORK, NULL);
	op->str[0] = helper;
	op->str[1] = socket;
	op->arg[0] = (uint64_t)network->network << 32 | network->prefix;
	op->arg[1] = network->mtu ? network->mtu : STEP_MTU;
	op->arg[2] = network->slirp;
}

/* Once nothing leads out of the network that must not: a port leads in. */
static void plan_add_ports(struct plan_blob *b)
{
	const struct plan_network *network = &b->options->network;

	for (size_t i = 0; i < network->n_ports; i++) {
		const struct plan_port *port = &network->ports[i];
		uint32_t socket = blob_str(b, network->api_socket);
		struct plan_op *op = blob_parent(b, OP_PUBLISH_PORT, port->origin);

		op->str[0] = socket;
		op->arg[0] = (uint64_t)port->parent_ip << 32 | port->parent_port;
		op->arg[1] = (uint64_t)port->child_ip << 32 | port->child_port;
		op->arg[2] = port->udp;
	}
}

void plan_add_network_end(struct plan_blob *b)
{
	const struct plan_network *network = &b->options->network;
	struct plan_op *op;

	if (!plan_has_slirp(b))
		return;
	blob_parent(b, OP_AWAIT_NETWORK, NULL);
	op = blob_parent(b, OP_CLOSE_NETWORK, NULL);
	op->arg[0] = network->slirp & SLIRP_NO_DNS ? 0 : network->dns;
	op->arg[1] = network->slirp & SLIRP_PORTS;
	plan_add_ports(b);
}
