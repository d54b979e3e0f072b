/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `spec`: a config.json to begin with. The content is runc's, because its users edit it with
 * scripts, plus the default seccomp profile of seccomp/default.json.
 */
#include <linux/magic.h>
#include <sys/statfs.h>
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"

/* generated from seccomp/default.json */
static const char default_profile[] =
#include "default_profile.inc"
	;

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option_entry spec_option_table[] = {
	{"bundle", 'b', OPTION_STRING, offsetof(struct spec_options, bundle), "DIR",
	 "where to write config.json; default: the current directory"},
	{"rootless", 0, OPTION_FLAG, offsetof(struct spec_options, rootless), NULL,
	 "for an ordinary user: with a user namespace that maps only that user"},
	OPTION_END,
};

static const char spec_process_text[] =
	"\t\"ociVersion\": \"1.0.2\",\n"
	"\t\"process\": {\n"
	"\t\t\"terminal\": true,\n"
	"\t\t\"user\": {\n\t\t\t\"uid\": 0,\n\t\t\t\"gid\": 0\n\t\t},\n"
	"\t\t\"args\": [\n\t\t\t\"sh\"\n\t\t],\n"
	"\t\t\"env\": [\n"
	"\t\t\t\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\n"
	"\t\t\t\"TERM=xterm\"\n\t\t],\n"
	"\t\t\"cwd\": \"/\",\n"
	"\t\t\"capabilities\": {\n"
	"\t\t\t\"bounding\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
	"\t\t\t\"effective\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
	"\t\t\t\"permitted\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]\n"
	"\t\t},\n"
	"\t\t\"rlimits\": [\n\t\t\t{\"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, "
	"\"soft\": 1024}\n\t\t],\n"
	"\t\t\"noNewPrivileges\": true\n\t},\n"
	"\t\"root\": {\n\t\t\"path\": \"rootfs\",\n\t\t\"readonly\": true\n\t},\n"
	"\t\"hostname\": \"runbuild\",\n";

static const char spec_mounts_text[] =
	"\t\"mounts\": [\n"
	"\t\t{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"},\n"
	"\t\t{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", "
	"\"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\", "
	"\"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", "
	"\"mode=0620\"%s]},\n"
	"\t\t{\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\", "
	"\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\", "
	"\"options\": [\"nosuid\", \"noexec\", \"nodev\"]},\n"
	"\t\t%s,\n"
	"\t\t{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\", "
	"\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}\n\t],\n";

static const char sys_fresh[] =
	"{\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\", "
	"\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"]}";

static const char sys_bound[] =
	"{\"destination\": \"/sys\", \"type\": \"none\", \"source\": \"/sys\", "
	"\"options\": [\"rbind\", \"nosuid\", \"noexec\", \"nodev\", \"ro\"]}";

static const char spec_paths_text[] =
	"\t\t\"maskedPaths\": [\n"
	"\t\t\t\"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\",\n"
	"\t\t\t\"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\",\n"
	"\t\t\t\"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\"\n\t\t],\n"
	"\t\t\"readonlyPaths\": [\n"
	"\t\t\t\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", "
	"\"/proc/sysrq-trigger\"\n\t\t],\n";

/* As runc: with a cgroup v1 a container sees, and a client finds, its group under its full name. */
static bool spec_has_cgroup_namespace(void)
{
	struct statfs fs;

	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static void spec_text(bool rootless, struct strbuf *out)
{
	const char *last = rootless                      ? ",\n\t\t\t{\"type\": \"user\"}"
			   : spec_has_cgroup_namespace() ? ",\n\t\t\t{\"type\": \"cgroup\"}"
							 : "";

	strbuf_add(out, "{\n");
	strbuf_add(out, spec_process_text);
	/* gid 5 is not mapped for a single user; and sysfs needs an own network namespace */
	strbuf_printf(out, spec_mounts_text, rootless ? "" : ", \"gid=5\"",
		      rootless ? sys_bound : sys_fresh);
	strbuf_add(out, "\t\"linux\": {\n");
	if (rootless)
		strbuf_printf(out,
			      "\t\t\"uidMappings\": [{\"containerID\": 0, \"hostID\": %u, "
			      "\"size\": 1}],\n"
			      "\t\t\"gidMappings\": [{\"containerID\": 0, \"hostID\": %u, "
			      "\"size\": 1}],\n",
			      geteuid(), getegid());
	else
		strbuf_add(out, "\t\t\"resources\": {\"devices\": [{\"allow\": false, "
				"\"access\": \"rwm\"}]},\n");
	strbuf_printf(out,
		      "\t\t\"namespaces\": [\n\t\t\t{\"type\": \"pid\"},\n%s"
		      "\t\t\t{\"type\": \"ipc\"},\n\t\t\t{\"type\": \"uts\"},\n"
		      "\t\t\t{\"type\": \"mount\"}%s\n\t\t],\n",
		      rootless ? "" : "\t\t\t{\"type\": \"network\"},\n", last);
	strbuf_add(out, spec_paths_text);
	strbuf_printf(out, "\t\t\"seccomp\": %s\t}\n}\n", default_profile);
}

static int spec_main(struct arena *arena UNUSED, const struct globals *globals UNUSED,
		     const void *options, int argc UNUSED, char **argv UNUSED, struct rb_err *err)
{
	const struct spec_options *spec_options = options;
	const char *path = spec_options->bundle ? spec_options->bundle : ".";
	CLEANUP_FD int dir = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int fd = -1;
	CLEANUP_STRBUF struct strbuf text = {0};
	int r;

	if (dir < 0)
		return err_set(err, RB_BUNDLE, -dir, "cannot open the bundle '%s'", path);
	fd = sys_openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
	if (fd == -EEXIST) {
		err_set(err, RB_CONFIG_FILE, 0, "File config.json exists. Remove it first");
		err_fix(err, "remove '%s/config.json', or name another directory with --bundle",
			path);
		return -EEXIST;
	}
	if (fd < 0)
		return err_set(err, RB_CONFIG_FILE, -fd, "cannot create '%s/config.json'", path);
	spec_text(spec_options->rootless, &text);
	r = text.failed ? -ENOMEM : fd_write_all(fd, text.text, text.len);
	if (r < 0) {
		(void)unlinkat(dir, "config.json", 0);
		return err_set(err, RB_CONFIG_FILE, -r, "cannot write '%s/config.json'", path);
	}
	return 0;
}

const struct verb verb_spec = {
	.name = "spec",
	.summary = "write a config.json to begin with",
	.args = "",
	.options = spec_option_table,
	.options_size = sizeof(struct spec_options),
	.run = spec_main,
};
