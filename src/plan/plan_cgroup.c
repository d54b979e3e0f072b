/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's control group as ops of the parent: made, limited, then joined, so that not one
 * instruction of the container runs outside its limits. Pure. The limits themselves are turned
 * into writes by resources.c and its halves.
 */
#include <linux/bpf.h>
#include "plan/plan_blob.h"
#include "plan/resources_job.h"
#include "plan/scope.h"

static int cgroup_add_writes(struct plan_blob *b, const struct resource_writes *writes)
{
	for (size_t i = 0; i < writes->n; i++) {
		const struct resource_write *w = &writes->v[i];
		uint32_t file = blob_str(b, w->file);
		uint32_t value = blob_str(b, w->value);
		struct plan_op *op = blob_parent(b, OP_CGROUP_WRITE, w->origin);

		op->str[0] = file;
		op->str[1] = value;
		op->arg[0] = (uint64_t)w->controller;
		op->arg[1] = w->v2;
		op->arg[2] = w->flags;
	}
	return 0;
}

/*
 * Devices that the configuration makes are usable without a rule of their own; an empty list of
 * rules means the default one, "deny": config-linux.md#allowed-device-list.
 */
static int cgroup_device_rules(struct plan_blob *b, struct spec_resources *resources)
{
	static const struct spec_device_rule deny_all = {
		.type = 'a', .major = -1, .minor = -1, .access = 7};
	const struct spec *spec = b->spec;
	struct spec_device_rule *v;
	size_t n = 0;

	*resources = spec->resources;
	if (resources->n_devices)
		return 0;
	v = arena_array(b->arena, spec->n_devices + 1, sizeof(*v));
	if (!v)
		return err_set(b->err, RB_NO_MEMORY, ENOMEM, "devices");
	v[n++] = deny_all;
	for (size_t i = 0; i < spec->n_devices; i++) {
		const struct spec_device *device = &spec->devices[i];

		if (device->type == 'p')
			continue;
		v[n++] = (struct spec_device_rule){
			.allow = true,
			.type = device->type == 'b' ? 'b' : 'c',
			.major = device->major,
			.minor = device->minor,
			.access = 7,
			.origin = device->origin,
		};
	}
	v[0].origin = n > 1 ? v[1].origin : "/linux/devices";
	resources->devices = v;
	resources->n_devices = n;
	return 0;
}

static void cgroup_add_program(struct plan_blob *b, const struct bpf_insn *program, size_t n,
			       const char *origin)
{
	_Static_assert(sizeof(struct bpf_insn) == 2 * sizeof(uint32_t), "two numbers");
	uint32_t *numbers = arena_array(b->arena, 2 * n, sizeof(*numbers));
	uint32_t list;

	if (!numbers) {
		b->pool.failed = true;
		return;
	}
	memcpy(numbers, program, n * sizeof(*program));
	list = blob_numbers(b, numbers, 2 * n);
	blob_parent(b, OP_CGROUP_DEVICES, origin)->list = list;
}

/*
 * Only where the kernel lets us: in a user namespace mknod(2) is refused anyway, and what nodes of
 * the host can be opened is a matter of their owners.
 */
static int cgroup_add_devices(struct plan_blob *b)
{
	struct spec_resources resources;
	struct resource_writes writes = {.arena = b->arena};
	struct resources_job job = {&resources, b->host, &writes, b->err};
	struct device_policy policy;
	struct bpf_insn *program;
	size_t n;
	int r;

	if (plan_in_user_namespace(b) || b->host->euid != 0)
		return 0;
	if ((r = cgroup_device_rules(b, &resources)) < 0 ||
	    (r = devices_reduce(b->arena, &resources, &policy, b->err)) < 0)
		return r;
	if (resources_on_v1(&job, CONTROLLER_DEVICES)) {
		devices_write_v1(&job, &policy);
		return writes.failed ? err_set(b->err, RB_NO_MEMORY, ENOMEM, "devices")
				     : cgroup_add_writes(b, &writes);
	}
	if (b->host->cgroup_mode != HOST_CGROUP_V2)
		return 0;
	r = devices_compile(b->arena, &policy, &program, &n, b->err);
	if (r == 0)
		cgroup_add_program(b, program, n, resources.devices[0].origin);
	return r;
}

static int cgroup_add_group(struct plan_blob *b, bool must, const char *warning)
{
	const char *path = b->spec->cgroups_path;
	bool systemd = b->options->cgroup_manager == CGROUP_MANAGER_SYSTEMD;
	struct scope scope = {0};
	uint32_t first;
	uint32_t second = 0;
	uint32_t properties = 0;
	struct plan_op *op;

	if (systemd) {
		int r = scope_describe(b->arena, b->spec, b->host, b->options->id, &scope, b->err);

		if (r < 0)
			return r;
		first = blob_str(b, scope.slice);
		second = blob_str(b, scope.unit);
		properties = blob_list(b, scope.properties, scope.n_properties);
	} else {
		first = blob_str(b, path[0] ? path : b->options->id);
		second = blob_str(b, warning);
	}
	op = blob_parent(b, OP_CGROUP, path[0] ? "/linux/cgroupsPath" : NULL);
	op->str[0] = first;
	op->str[1] = second;
	op->list = properties;
	op->arg[0] = must;
	op->arg[1] = systemd ? CGROUP_SCOPE : CGROUP_FILES;
	op->arg[2] = path[0] != '\0';
	return 0;
}

/* Before the clone, which joins it: clone3(2) CLONE_INTO_CGROUP. */
void plan_add_handed_cgroup(struct plan_blob *b)
{
	uint32_t name;
	struct plan_op *op;

	if (!b->options->cgroup_handed)
		return;
	name = blob_str(b, "(handed over)");
	op = blob_parent(b, OP_CGROUP, "/cgroup/fd");
	op->str[0] = name;
	op->arg[0] = true;
	op->arg[1] = CGROUP_HANDED;
}

bool plan_wants_cgroup(const struct plan_blob *b)
{
	if (b->options->cgroup_manager == CGROUP_MANAGER_NONE || b->options->cgroup_handed)
		return false;
	if (b->spec->cgroups_path[0])
		return true;
	/*
	 * An ordinary user's step without limits needs no group of its own. What `create` makes is
	 * to be paused and asked for its processes: it gets one where the user may make one.
	 */
	return b->options->id && (!b->options->rootless_cgroup || !b->options->foreground ||
				  spec_resources_limit(&b->spec->resources));
}

int plan_add_cgroup(struct plan_blob *b, bool *ret_used)
{
	bool rootless = b->options->rootless_cgroup;
	bool explicit_path = b->spec->cgroups_path[0] != '\0';
	bool limits = spec_resources_limit(&b->spec->resources);
	/* an ordinary user's foreground step goes on without the group and the limits, with one
	 * warning: BuildKit cannot do anything about it either */
	bool must = !rootless || (!b->options->foreground && (explicit_path || limits));
	struct resource_writes writes = {.n = 0};
	const char *warning = NULL;
	int r;

	*ret_used = false;
	if (!plan_wants_cgroup(b))
		return 0;
	r = resources_convert(b->arena, &b->spec->resources, b->host, &writes, b->err);
	if (r < 0 && (must || b->err->code != RB_CGROUP_CONTROLLER))
		return r;
	if (r < 0)
		warning = arena_strdup(b->arena, b->err->what);
	r = cgroup_add_group(b, must, warning);
	if (r < 0 || (r = cgroup_add_devices(b)) < 0 || (r = cgroup_add_writes(b, &writes)) < 0)
		return r;
	blob_parent(b, OP_CGROUP_JOIN, NULL)->arg[0] = must;
	*ret_used = true;
	return 0;
}

/*
 * config-linux.md#intelrdt. A class without a name of its own is the container's and ends with it;
 * a named one is shared. One that nothing is said of must be there: somebody else has set it up.
 */
void plan_add_resctrl(struct plan_blob *b)
{
	CLEANUP_STRBUF struct strbuf schemata = {0};
	const struct spec_rdt *rdt = &b->spec->rdt;
	const char *const names[] = {rdt->class ? rdt->class : b->options->id, b->options->id};
	uint32_t root;
	uint32_t text;
	uint32_t list;
	struct plan_op *op;

	if (!rdt->present || !b->host->resctrl[0])
		return;
	for (size_t i = 0; b->first_process && i < rdt->schemata.n; i++)
		strbuf_printf(&schemata, "%s\n", rdt->schemata.v[i]);
	b->pool.failed |= schemata.failed;
	root = blob_str(b, b->host->resctrl);
	text = blob_str(b, schemata.text);
	list = blob_list(b, names, rdt->monitoring ? 2 : 1);
	op = blob_parent(b, OP_RESCTRL, rdt->origin);
	op->str[0] = root;
	op->str[1] = text;
	op->list = list;
	if (!b->first_process)
		op->arg[0] = RESCTRL_JOIN;
	else if (!rdt->class)
		op->arg[0] = RESCTRL_MAKE | RESCTRL_OWN;
	else if (rdt->schemata.n)
		op->arg[0] = RESCTRL_MAKE;
}

bool plan_add_exec_cgroup(struct plan_blob *b, const char *cgroup)
{
	uint32_t name;
	uint32_t below;
	struct plan_op *op;

	if (cgroup[0] == '\0' || b->options->cgroup_manager == CGROUP_MANAGER_NONE ||
	    b->options->cgroup_handed)
		return false;
	name = blob_str(b, cgroup);
	below = blob_list(b, b->options->cgroup_below, b->options->n_cgroup_below);
	op = blob_parent(b, OP_CGROUP, NULL);
	op->str[0] = name;
	op->list = below;
	op->arg[0] = !b->options->rootless_cgroup || b->options->n_cgroup_below > 0;
	op->arg[1] = CGROUP_EXISTING;
	blob_parent(b, OP_CGROUP_JOIN, NULL)->arg[0] = op->arg[0];
	return true;
}
