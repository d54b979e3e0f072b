/* SPDX-License-Identifier: Apache-2.0 */
/* `features` and `--version`: what this build understands. runtime-spec features.md. */
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "plan/scope_annotation.h"

#define OCI_VERSION_MIN "1.0.0"
#define OCI_VERSION_MAX "1.3.0"

void version_text(const char *name, struct strbuf *out)
{
	/* under the name it was called by: docker looks for "runc version" */
	strbuf_printf(out, "%s version %s\ncommit: runbuild-%s\nspec: %s\n", name, PACKAGE_VERSION,
		      PACKAGE_VERSION, OCI_VERSION_MAX);
}

static void json_names(struct strbuf *out, const char *key, const char *const *names)
{
	strbuf_printf(out, "\"%s\": [", key);
	for (size_t i = 0; names[i]; i++) {
		strbuf_add(out, i ? ", " : "");
		strbuf_add_json(out, names[i]);
	}
	strbuf_add_char(out, ']');
}

static void json_namespaces(struct strbuf *out)
{
	const char *first = "";

	strbuf_add(out, "\"namespaces\": [");
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t type = UINT64_C(1) << bit;
		const char *name = spec_namespace_name(type);

		if (!name)
			continue;
		strbuf_add(out, first);
		strbuf_add_json(out, name);
		first = ", ";
	}
	strbuf_add_char(out, ']');
}

static void json_capabilities(struct strbuf *out)
{
	strbuf_add(out, "\"capabilities\": [");
	for (unsigned cap = 0; spec_cap_name(cap); cap++) {
		strbuf_add(out, cap ? ", " : "");
		strbuf_add_json(out, spec_cap_name(cap));
	}
	strbuf_add_char(out, ']');
}

static int features_main(struct arena *arena UNUSED, const struct globals *globals UNUSED,
			 const void *options UNUSED, int argc UNUSED, char **argv UNUSED,
			 struct rb_err *err)
{
	static const char *const archs[] = {"SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",
					    "SCMP_ARCH_X32",     "SCMP_ARCH_ARM",
					    "SCMP_ARCH_AARCH64", "SCMP_ARCH_PPC64LE",
					    "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390",
					    "SCMP_ARCH_S390X",   NULL};
	static const char *const hooks[] = {"prestart",
					    "createRuntime",
					    "createContainer",
					    "startContainer",
					    "poststart",
					    "poststop",
					    NULL};
	static const char *const unsafe_annotations[] = {SCOPE_ANNOTATION, NULL};
	CLEANUP_STRBUF struct strbuf out = {0};

	strbuf_add(&out, "{\n  \"ociVersionMin\": \"" OCI_VERSION_MIN "\",\n"
			 "  \"ociVersionMax\": \"" OCI_VERSION_MAX "\",\n  ");
	json_names(&out, "hooks", hooks);
	strbuf_add(&out, ",\n  ");
	json_names(&out, "mountOptions", spec_mount_option_names);
	strbuf_add(&out, ",\n  ");
	json_names(&out, "potentiallyUnsafeConfigAnnotations", unsafe_annotations);
	strbuf_add(&out, ",\n  \"linux\": {\n    ");
	json_namespaces(&out);
	strbuf_add(&out, ",\n    ");
	json_capabilities(&out);
	strbuf_add(&out, ",\n    \"cgroup\": {\"v1\": true, \"v2\": true, \"systemd\": true, "
			 "\"systemdUser\": true, \"rdma\": true},\n"
			 "    \"seccomp\": {\"enabled\": true, ");
	json_names(&out, "actions", spec_seccomp_action_names);
	strbuf_add(&out, ", ");
	json_names(&out, "operators", spec_seccomp_op_names);
	strbuf_add(&out, ", ");
	json_names(&out, "archs", archs);
	strbuf_add(&out, ", ");
	json_names(&out, "knownFlags", spec_seccomp_flag_names);
	strbuf_add(&out, ", ");
	json_names(&out, "supportedFlags", spec_seccomp_flag_names);
	strbuf_add(
		&out,
		"},\n    \"apparmor\": {\"enabled\": true},\n"
		"    \"selinux\": {\"enabled\": true},\n"
		"    \"intelRdt\": {\"enabled\": true, \"schemata\": true, \"monitoring\": true},\n"
		"    \"mountExtensions\": {\"idmap\": {\"enabled\": true}},\n"
		"    \"netDevices\": {\"enabled\": true}\n  },\n"
		"  \"annotations\": {\"org.runbuild.version\": \"" PACKAGE_VERSION "\"}\n}\n");
	return print_all(&out, err);
}

static const struct option_entry features_option_table[] = {OPTION_END};

const struct verb verb_features = {
	.name = "features",
	.summary = "print what this runtime supports as JSON",
	.args = "",
	.options = features_option_table,
	.run = features_main,
};
