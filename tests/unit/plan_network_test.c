/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network that the launcher's policy gives a step: what the planner makes of it, and that the
 * rules refuse a plan in which the step would run in a network that is open, or is left over.
 */
#include "planning.h"

#define CONFIG                                                                                     \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"      \
	"\"cwd\":\"/\"},\"mounts\":[{\"destination\":\"/etc/resolv.conf\",\"type\":\"bind\","      \
	"\"source\":\"rc\",\"options\":[\"rbind\",\"ro\"]}],\"linux\":{\"namespaces\":["           \
	"{\"type\":\"mount\"},{\"type\":\"pid\"}]}}"

static const struct plan_network slirp = {
	.mode = PLAN_NETWORK_SLIRP,
	.helper = "/usr/bin/slirp4netns",
	.pool = "/pool",
	.network = 0x0a000200,
	.prefix = 24,
	.dns = 0x0a000203,
	.resolv_conf = "nameserver 10.0.2.3\n",
};

static struct plan *network_plan(struct arena *arena, enum plan_network_mode mode, bool foreground)
{
	struct plan_options options = {
		.foreground = foreground, .wait_start = !foreground, .network = slirp};

	options.network.mode = mode;
	return (struct plan *)make_plan(arena, CONFIG, host_rootless, &options);
}

static struct plan_op *parent_at(struct plan *plan, enum plan_op_kind kind)
{
	int at = parent_first(plan, kind);

	CHECK(at >= 0);
	return (struct plan_op *)plan_parent_ops(plan) + (at < 0 ? 0 : at);
}

static bool clones_network(const struct plan *plan)
{
	return (parent_op(plan, OP_CLONE)->arg[0] & CLONE_NEWNET) != 0;
}

static void plan_starts_a_network_early_and_closes_it_before_the_step(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);
	int release = parent_first(plan, OP_AWAIT_EXEC) - 1;

	CHECK(clones_network(plan) && child_first(plan, OP_LOOPBACK) >= 0);
	CHECK(parent_first(plan, OP_STEP_NETWORK) == parent_first(plan, OP_CLONE) + 1);
	CHECK(parent_first(plan, OP_AWAIT_NETWORK) + 1 == parent_first(plan, OP_CLOSE_NETWORK));
	CHECK(parent_first(plan, OP_CLOSE_NETWORK) < release);
	CHECK(parent_op(plan, OP_CLOSE_NETWORK)->arg[0] == slirp.dns);
	CHECK(parent_first(plan, OP_KEEP_NETWORK) < 0);
}

static void plan_keeps_the_network_of_what_outlives_the_runtime(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, false);

	CHECK(parent_first(plan, OP_KEEP_NETWORK) >= 0 && parent_first(plan, OP_STEP_NETWORK) < 0);
	CHECK(parent_first(plan, OP_CLOSE_NETWORK) >= 0);
}

static void plan_enters_a_lent_network_before_it_mounts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_LENT, true);

	CHECK(!clones_network(plan) && parent_first(plan, OP_STEP_NETWORK) < 0);
	CHECK(parent_first(plan, OP_TAKE_NETWORK) == 0);
	CHECK(child_first(plan, OP_SETNS) >= 0 &&
	      child_first(plan, OP_SETNS) < child_first(plan, OP_ATTACH_ROOT));
}

static void plan_with_no_network_has_a_namespace_alone(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_NONE, true);

	CHECK(clones_network(plan) && parent_first(plan, OP_STEP_NETWORK) < 0);
	plan = network_plan(&arena, PLAN_NETWORK_SPEC, true);
	CHECK(!clones_network(plan));
}

static void plan_replaces_the_source_of_resolv_conf(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);
	int at = child_first(plan, OP_TEXT_FILE);

	CHECK(at >= 0 && child_first(plan, OP_OPEN_TREE) < 0);
	CHECK_STR(plan_str(plan, plan_child_ops(plan)[at].str[1]), slirp.resolv_conf);
	CHECK(plan_child_ops(plan)[at + 1].kind == OP_MOUNT_SETATTR); /* still read-only */
}

static void refuses(struct plan *plan, const char *rule)
{
	struct rb_err err = {0};

	CHECK(plan_check(plan, &err) < 0);
	if (!strstr(err.what, rule))
		CHECK_STR(err.what, rule);
}

/* A parent's op that is there, and does nothing about the network. */
static void blank(struct plan *plan, enum plan_op_kind kind)
{
	struct plan_op *op = parent_at(plan, kind);

	*op = (struct plan_op){.kind = OP_SEND_PIDFD, .slot = SLOT_NONE, .slot2 = SLOT_NONE};
}

static void plan_check_refuses_a_network_that_is_not_closed(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);

	blank(plan, OP_CLOSE_NETWORK);
	refuses(plan, "released into a network that is not closed");
	plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);
	blank(plan, OP_AWAIT_NETWORK);
	refuses(plan, "out of order");
	plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);
	blank(plan, OP_STEP_NETWORK);
	refuses(plan, "out of order");
}

static void plan_check_refuses_a_network_for_our_own_namespace(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);

	parent_at(plan, OP_CLONE)->arg[0] &= ~(uint64_t)CLONE_NEWNET;
	refuses(plan, "of somebody else");
}

static void plan_check_refuses_a_network_that_nobody_ends(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_SLIRP, true);

	blank(plan, OP_MONITOR);
	refuses(plan, "without a monitor");
}

static void plan_check_refuses_a_lent_network_that_is_not_entered(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = network_plan(&arena, PLAN_NETWORK_LENT, true);
	struct plan_op *enter = (struct plan_op *)plan_child_ops(plan) +
				child_first(plan, OP_SETNS);

	enter->kind = OP_SETSID;
	enter->slot = SLOT_NONE;
	refuses(plan, "that nobody enters");
	plan = network_plan(&arena, PLAN_NETWORK_LENT, true);
	blank(plan, OP_TAKE_NETWORK);
	refuses(plan, "uses an empty slot");
	plan = network_plan(&arena, PLAN_NETWORK_LENT, true);
	parent_at(plan, OP_CLONE)->arg[0] |= CLONE_NEWNET;
	refuses(plan, "that nobody enters");
	plan = network_plan(&arena, PLAN_NETWORK_LENT, true);
	parent_at(plan, OP_TAKE_NETWORK)->slot = SLOT_PID_NS;
	refuses(plan, "comes first");
}

static struct plan *port_plan(struct arena *arena)
{
	static const struct plan_port ports[] = {
		{.parent_ip = 0x7f000001,
		 .parent_port = 8080,
		 .child_ip = 0x0a000264,
		 .child_port = 80},
		{.udp = true, .parent_port = 53, .child_ip = 0x0a000264, .child_port = 5353},
	};
	struct plan_options options = {.foreground = true, .network = slirp};

	options.network.slirp = SLIRP_PORTS | SLIRP_NO_DNS | SLIRP_HOST_LOOPBACK;
	options.network.mtu = 1400;
	options.network.api_socket = "s.slirp";
	options.network.ports = ports;
	options.network.n_ports = ARRAY_LEN(ports);
	return (struct plan *)make_plan(arena, CONFIG, host_rootless, &options);
}

static void plan_publishes_ports_of_a_closed_network_and_shows_them(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct plan *plan = port_plan(&arena);

	CHECK(parent_first(plan, OP_PUBLISH_PORT) == parent_first(plan, OP_CLOSE_NETWORK) + 1);
	plan_print(plan, 0, &text);
	CHECK(strstr(text.text, "mtu 1400 without dns with the host's loopback"));
	CHECK(strstr(text.text, "127.0.0.1:8080/tcp to 10.0.2.100:80\n"));
	CHECK(strstr(text.text, "0.0.0.0:53/udp to 10.0.2.100:5353\n"));
	CHECK(strstr(text.text, "towards this host, and answers to clients of ports\n"));
}

static void plan_check_refuses_ports_of_no_network(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = port_plan(&arena);
	struct plan_op *port = parent_at(plan, OP_PUBLISH_PORT);
	struct plan_op before = port[-1];

	port[-1] = *port; /* before the network is closed */
	*port = before;
	refuses(plan, "of a network that is not closed");
	plan = port_plan(&arena);
	parent_at(plan, OP_PUBLISH_PORT)->arg[1] = 0;
	refuses(plan, "of no number");
	plan = port_plan(&arena);
	port = parent_at(plan, OP_PUBLISH_PORT);
	port->str[0] = parent_at(plan, OP_STEP_NETWORK)->str[0]; /* a path */
	refuses(plan, "of no number");
}

TAP_MAIN(TEST(plan_starts_a_network_early_and_closes_it_before_the_step),
	 TEST(plan_keeps_the_network_of_what_outlives_the_runtime),
	 TEST(plan_enters_a_lent_network_before_it_mounts),
	 TEST(plan_with_no_network_has_a_namespace_alone),
	 TEST(plan_replaces_the_source_of_resolv_conf),
	 TEST(plan_publishes_ports_of_a_closed_network_and_shows_them),
	 TEST(plan_check_refuses_ports_of_no_network),
	 TEST(plan_check_refuses_a_network_that_is_not_closed),
	 TEST(plan_check_refuses_a_network_for_our_own_namespace),
	 TEST(plan_check_refuses_a_network_that_nobody_ends),
	 TEST(plan_check_refuses_a_lent_network_that_is_not_entered))
