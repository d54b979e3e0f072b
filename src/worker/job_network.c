/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which network a step gets, and which name servers in it. Runs before the plan is made; starts
 * nothing.
 */
#include "base/file.h"
#include "base/sys.h"
#include "net/filter.h"
#include "net/policy.h"
#include "net/port.h"
#include "net/slirp.h"
#include "worker/job.h"

/* A network namespace of the peer. */
static int enter_namespace(struct job *job, struct rb_err *err)
{
	struct spec_namespace *namespaces;
	const char *path;
	int r;

	if (job->step->netns_fd == STEP_NO_FD)
		return 0;
	r = job->hands->network(job, &path, err);
	if (r < 0)
		return r;
	namespaces = arena_array(&job->arena, job->spec.n_namespaces, sizeof(*namespaces));
	if (!namespaces)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "namespaces");
	memcpy(namespaces, job->spec.namespaces, job->spec.n_namespaces * sizeof(*namespaces));
	for (size_t i = 0; i < job->spec.n_namespaces; i++)
		if (namespaces[i].type == CLONE_NEWNET)
			namespaces[i].path = path;
	job->spec.namespaces = namespaces;
	return 0;
}

/* Has the peer counted on the addresses of the usual network? */
static bool addresses_are_known(const struct step_slirp *slirp)
{
	for (size_t i = 0; i < slirp->n_ports; i++)
		if (slirp->ports[i].child_ip)
			return true;
	return false;
}

/* "cidr" of the description, or a network that hides nothing that this host reaches. */
static int read_addresses(const struct step_slirp *slirp, const struct net_hosts *hosts,
			  struct net_policy *policy, struct rb_err *err)
{
	const char *cidr = slirp->cidr;
	int r = 0;

	if (cidr && net_cidr_read(cidr, &policy->network, &policy->prefix) < 0) {
		err_set(err, RB_STEP_NET, 0, "'%.40s' is no network for a step", cidr);
		err_origin(err, "/net/cidr");
		err_fix(err, "for example 10.0.2.0/24; it needs between 1 and 25 bits");
		return -EINVAL;
	}
	if (!cidr && !addresses_are_known(slirp))
		r = net_policy_choose(policy, hosts, err);
	policy->dns = slirp->no_dns ? 0 : policy->network + 3;
	return r;
}

/* A file that the caller mounts there itself is the caller's business. */
static bool mounts_resolv_conf(const struct step *step)
{
	for (size_t i = 0; i < step->spec.n_mounts; i++)
		if (str_eq(step->spec.mounts[i].destination, "/etc/resolv.conf"))
			return true;
	return false;
}

/* Name servers that the step asks for, else the host's; where it cannot reach them, slirp4netns. */
static int choose_servers(struct job *job, const struct net_policy *policy,
			  const struct net_hosts *hosts, struct rb_err *err)
{
	const char *path = job->resolv_path ? job->resolv_path : "/etc/resolv.conf";
	const char *text;
	char *read = NULL;
	int r;

	if (!job->resolv && mounts_resolv_conf(job->step) && !job->resolv_path)
		return 0;
	r = job->resolv
		    ? 0
		    : file_read_at(&job->arena, AT_FDCWD, path, LIMIT_RESOLV_BYTES, &read, NULL);
	if (r < 0 && job->resolv_path)
		return err_set(err, RB_MOUNT_SOURCE, -r, "cannot read '%s'", path);
	job->resolv_path = NULL;
	if (!job->resolv)
		job->resolv = read ? read : "";
	text = net_resolv_conf(&job->arena, policy, hosts, job->resolv, job->resolv);
	if (text)
		job->resolv = text;
	return 0;
}

/* slirp4netns keeps the reason to itself why a port cannot be had. */
static int add_ports(struct job *job, uint32_t guest, struct rb_err *err)
{
	const struct step_slirp *slirp = &job->step->slirp;
	struct plan_port *ports = arena_array(&job->arena, slirp->n_ports, sizeof(*ports));

	if (slirp->n_ports == 0)
		return 0;
	job->network.api_socket = arena_printf(&job->arena, "%s.slirp", job->step->id);
	if (!ports || !job->network.api_socket)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "ports");
	for (size_t i = 0; i < slirp->n_ports; i++) {
		const struct step_port *port = &slirp->ports[i];
		const struct port_spec spec = {
			.udp = port->udp,
			.family = PORT_V4, /* slirp4netns(1) publishes no other */
			.parent_ip = port->parent_ip,
			.parent_port = port->parent_port,
		};
		int r = port_check(&spec, err);

		if (r < 0) {
			err_origin(err, port->origin);
			return r;
		}
		ports[i] = (struct plan_port){
			.udp = port->udp,
			.parent_ip = port->parent_ip,
			.child_ip = port->child_ip ? port->child_ip : guest,
			.parent_port = port->parent_port,
			.child_port = port->child_port,
			.origin = port->origin,
		};
	}
	job->network.slirp |= SLIRP_PORTS;
	job->network.ports = ports;
	job->network.n_ports = slirp->n_ports;
	return 0;
}

static int add_slirp(struct job *job, struct rb_err *err)
{
	const struct step_slirp *slirp = &job->step->slirp;
	struct net_hosts *hosts = arena_alloc(&job->arena, sizeof(*hosts));
	struct net_policy policy;
	int r;

	if (!hosts)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "network");
	net_policy_slirp(&policy);
	if ((r = net_hosts_read(hosts, err)) < 0 ||
	    (r = read_addresses(slirp, hosts, &policy, err)) < 0 ||
	    (r = net_policy_find(&job->arena, &policy, err)) < 0 ||
	    (r = choose_servers(job, &policy, hosts, err)) < 0)
		return r;
	job->network = (struct plan_network){
		.mode = PLAN_NETWORK_SLIRP,
		.helper = policy.helper,
		.network = policy.network,
		.prefix = policy.prefix,
		.dns = policy.dns,
		.mtu = slirp->mtu,
		.slirp = (slirp->no_dns ? SLIRP_NO_DNS : 0) |
			 (slirp->allow_host_loopback ? SLIRP_HOST_LOOPBACK : 0),
	};
	return add_ports(job, policy.network + SLIRP_GUEST, err);
}

int job_add_network(struct job *job, struct rb_err *err)
{
	job->resolv = job->step->resolv;
	job->resolv_path = job->step->resolv_path;
	return job->step->net == STEP_NET_SLIRP ? add_slirp(job, err) : enter_namespace(job, err);
}
