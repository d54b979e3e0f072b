/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of capabilities, namespaces and hooks as config.json spells them. Pure tables. The
 * capability table is checked against libcap by tests/unit/spec_test.c.
 */
#include "base/sys.h"
#include "spec/spec_read.h"

/* capabilities(7); the position is the number */
static const char *const spec_cap_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

int spec_cap_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(spec_cap_names); i++)
		if (str_eq(name, spec_cap_names[i]))
			return (int)i;
	return -1;
}

const char *spec_cap_name(unsigned number)
{
	return number < ARRAY_LEN(spec_cap_names) ? spec_cap_names[number] : NULL;
}

/* runtime-spec config-linux.md#namespaces */
static const struct {
	const char *name;
	uint64_t type;
} spec_namespace_names[] = {
	{"pid", CLONE_NEWPID},   {"network", CLONE_NEWNET},   {"mount", CLONE_NEWNS},
	{"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},       {"user", CLONE_NEWUSER},
	{"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP},
};

uint64_t spec_namespace_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(spec_namespace_names); i++)
		if (str_eq(name, spec_namespace_names[i].name))
			return spec_namespace_names[i].type;
	return 0;
}

const char *spec_namespace_name(uint64_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(spec_namespace_names); i++)
		if (type == spec_namespace_names[i].type)
			return spec_namespace_names[i].name;
	return NULL;
}

const struct spec_namespace *spec_namespace_find(const struct spec *spec, uint64_t type)
{
	for (size_t i = 0; i < spec->n_namespaces; i++)
		if (spec->namespaces[i].type == type)
			return &spec->namespaces[i];
	return NULL;
}

const char *const spec_landlock_names[LANDLOCK_ACCESSES] = {"read", "write", "execute"};

/* runtime-spec config.md#posix-platform-hooks */
const char *const spec_hook_names[HOOK_KINDS] = {
	[HOOK_PRESTART] = "prestart",
	[HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer",
	[HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",
	[HOOK_POSTSTOP] = "poststop",
};
