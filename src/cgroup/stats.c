/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controllers have counted, in the shape of runc's `events --stats`, which containerd and
 * docker read. Runs in `events`, only reads. A file that is missing is a zero; a limit that is
 * "max" is 2^64-1, as a v1 kernel's largest number would be.
 */
#include <dirent.h>
#include "base/file.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "cgroup/cgroup_private.h"

/* The number at the beginning of a file; "max" is UINT64_MAX. */
static uint64_t read_number(const struct cgroup_member *member, const char *file)
{
	char text[64];
	uint64_t value = 0;

	if (!member || file_read_small(member->fd, file, text, sizeof(text)) <= 0)
		return 0;
	if (str_starts(text, "max"))
		return UINT64_MAX;
	(void)num_parse_u64(text, strspn(text, "0123456789"), UINT64_MAX, &value);
	return value;
}

/* "KEY NUMBER" lines: the number of one key. */
static uint64_t read_key(const struct cgroup_member *member, const char *file, const char *key)
{
	char text[8192];
	size_t len = strlen(key);
	uint64_t value = 0;

	if (!member || file_read_small(member->fd, file, text, sizeof(text)) <= 0)
		return 0;
	for (const char *line = text; *line;) {
		size_t end = strcspn(line, "\n");

		if (end > len && memcmp(line, key, len) == 0 && line[len] == ' ') {
			(void)num_parse_u64(line + len + 1, end - len - 1, UINT64_MAX, &value);
			return value;
		}
		line += end + (line[end] == '\n');
	}
	return 0;
}

/* The member that counts for a controller, on v1 if it is there. */
struct source {
	const struct cgroup_member *member;
	bool v2;
};

static struct source source_for(const struct cgroup *cgroup, const char *v1, const char *v2_file)
{
	struct source source = {.member = cgroup_member_for(cgroup, false, v1)};
	char text[4];

	if (source.member)
		return source;
	source.member = cgroup_member_for(cgroup, true, NULL);
	source.v2 = true;
	if (source.member && file_read_small(source.member->fd, v2_file, text, sizeof(text)) < 0)
		source.member = NULL;
	return source;
}

static void stats_cpu(const struct cgroup *cgroup, struct strbuf *out)
{
	struct source usage = source_for(cgroup, "cpuacct", "cpu.stat");
	struct source cpu = source_for(cgroup, "cpu", "cpu.stat");
	uint64_t total;
	uint64_t user;
	uint64_t kernel;

	if (usage.v2) {
		total = read_key(usage.member, "cpu.stat", "usage_usec") * 1000;
		user = read_key(usage.member, "cpu.stat", "user_usec") * 1000;
		kernel = read_key(usage.member, "cpu.stat", "system_usec") * 1000;
	} else {
		total = read_number(usage.member, "cpuacct.usage");
		user = read_number(usage.member, "cpuacct.usage_user");
		kernel = read_number(usage.member, "cpuacct.usage_sys");
	}
	strbuf_printf(out,
		      "\"cpu\":{\"usage\":{\"total\":%" PRIu64 ",\"kernel\":%" PRIu64
		      ",\"user\":%" PRIu64 "},",
		      total, kernel, user);
	strbuf_printf(out,
		      "\"throttling\":{\"periods\":%" PRIu64 ",\"throttledPeriods\":%" PRIu64
		      ",\"throttledTime\":%" PRIu64 "}}",
		      read_key(cpu.member, "cpu.stat", "nr_periods"),
		      read_key(cpu.member, "cpu.stat", "nr_throttled"),
		      cpu.v2 ? read_key(cpu.member, "cpu.stat", "throttled_usec") * 1000
			     : read_key(cpu.member, "cpu.stat", "throttled_time"));
}

/* "0-3,7" as the numbers it stands for. */
static void print_cpu_list(const struct cgroup_member *member, const char *const files[2],
			   const char *key, struct strbuf *out)
{
	char text[4096] = "";
	const char *at = text;
	const char *separator = "";

	for (int i = 0; member && i < 2 && (text[0] == '\0' || text[0] == '\n'); i++)
		if (file_read_small(member->fd, files[i], text, sizeof(text)) < 0)
			text[0] = '\0';
	strbuf_printf(out, "\"%s\":[", key);
	while (*at >= '0' && *at <= '9') {
		uint64_t first;
		uint64_t last;
		size_t len = strspn(at, "0123456789");

		if (num_parse_u64(at, len, 65535, &first) < 0)
			break;
		at += len;
		last = first;
		if (*at == '-') {
			len = strspn(++at, "0123456789");
			if (num_parse_u64(at, len, 65535, &last) < 0)
				break;
			at += len;
		}
		for (uint64_t cpu = first; cpu <= last; cpu++) {
			strbuf_printf(out, "%s%" PRIu64, separator, cpu);
			separator = ",";
		}
		at += *at == ',';
	}
	strbuf_add(out, "],");
}

static void stats_cpuset(const struct cgroup *cgroup, struct strbuf *out)
{
	static const char *const cpus[2] = {"cpuset.cpus", "cpuset.cpus.effective"};
	static const char *const mems[2] = {"cpuset.mems", "cpuset.mems.effective"};
	static const char *const flags[][2] = {
		{"cpu_exclusive", "cpuset.cpu_exclusive"},
		{"mem_hardwall", "cpuset.mem_hardwall"},
		{"mem_exclusive", "cpuset.mem_exclusive"},
		{"memory_migrate", "cpuset.memory_migrate"},
		{"memory_spread_page", "cpuset.memory_spread_page"},
		{"memory_spread_slab", "cpuset.memory_spread_slab"},
		{"memory_pressure", "cpuset.memory_pressure"},
		{"sched_load_balance", "cpuset.sched_load_balance"},
	};
	struct source set = source_for(cgroup, "cpuset", "cpuset.cpus.effective");

	strbuf_add(out, "\"cpuset\":{");
	print_cpu_list(set.member, cpus, "cpus", out);
	print_cpu_list(set.member, mems, "mems", out);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		strbuf_printf(out, "\"%s\":%" PRIu64 ",", flags[i][0],
			      set.v2 ? 0 : read_number(set.member, flags[i][1]));
	strbuf_add(out, "\"sched_relax_domain_level\":0}");
}

struct memory_files {
	const char *key;
	const char *usage, *peak, *limit, *failures;
};

static void stats_memory_entry(const struct cgroup_member *member, const struct memory_files *f,
			       struct strbuf *out)
{
	strbuf_printf(out,
		      "\"%s\":{\"limit\":%" PRIu64 ",\"usage\":%" PRIu64 ",\"max\":%" PRIu64
		      ",\"failcnt\":%" PRIu64 "}",
		      f->key, read_number(member, f->limit), read_number(member, f->usage),
		      read_number(member, f->peak), read_number(member, f->failures));
}

/* memory.stat as it is: clients compute their own sums from it. */
static void stats_memory_raw(const struct cgroup_member *member, struct strbuf *out)
{
	char text[16384];
	const char *separator = "";

	strbuf_add(out, "\"raw\":{");
	if (member && file_read_small(member->fd, "memory.stat", text, sizeof(text)) > 0) {
		for (char *line = text; *line;) {
			size_t end = strcspn(line, "\n");
			size_t word = strcspn(line, " ");
			uint64_t value;

			if (word < end && num_parse_u64(line + word + 1, end - word - 1, UINT64_MAX,
							&value) == 0) {
				line[word] = '\0';
				strbuf_add(out, separator);
				strbuf_add_json(out, line);
				strbuf_printf(out, ":%" PRIu64, value);
				separator = ",";
				line[word] = ' ';
			}
			line += end + (line[end] == '\n');
		}
	}
	strbuf_add(out, "}");
}

static void stats_memory(const struct cgroup *cgroup, struct strbuf *out)
{
	static const struct memory_files v1[] = {
		{"usage", "memory.usage_in_bytes", "memory.max_usage_in_bytes",
		 "memory.limit_in_bytes", "memory.failcnt"},
		{"swap", "memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes",
		 "memory.memsw.limit_in_bytes", "memory.memsw.failcnt"},
		{"kernel", "memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes",
		 "memory.kmem.limit_in_bytes", "memory.kmem.failcnt"},
		{"kernelTCP", "memory.kmem.tcp.usage_in_bytes",
		 "memory.kmem.tcp.max_usage_in_bytes", "memory.kmem.tcp.limit_in_bytes",
		 "memory.kmem.tcp.failcnt"},
	};
	static const struct memory_files v2[] = {
		{"usage", "memory.current", "memory.peak", "memory.max", ""},
		{"swap", "memory.swap.current", "memory.swap.peak", "memory.swap.max", ""},
		{"kernel", "", "", "", ""},
		{"kernelTCP", "", "", "", ""},
	};
	struct source memory = source_for(cgroup, "memory", "memory.current");
	const struct memory_files *files = memory.v2 ? v2 : v1;

	strbuf_printf(out, "\"memory\":{\"cache\":%" PRIu64 ",",
		      read_key(memory.member, "memory.stat", memory.v2 ? "file" : "cache"));
	for (size_t i = 0; i < ARRAY_LEN(v1); i++) {
		stats_memory_entry(memory.member, &files[i], out);
		strbuf_add_char(out, ',');
	}
	stats_memory_raw(memory.member, out);
	strbuf_add_char(out, '}');
}

static void stats_pids(const struct cgroup *cgroup, struct strbuf *out)
{
	struct source pids = source_for(cgroup, "pids", "pids.current");
	uint64_t limit = read_number(pids.member, "pids.max");

	/* runc prints 0 for "no limit" here, and here alone */
	strbuf_printf(out, "\"pids\":{\"current\":%" PRIu64 ",\"limit\":%" PRIu64 "}",
		      read_number(pids.member, "pids.current"), limit == UINT64_MAX ? 0 : limit);
}

struct io_entry {
	uint64_t major, minor;
	const char *op;
	uint64_t value;
};

static void io_print(const struct io_entry *entry, const char **separator, struct strbuf *out)
{
	strbuf_printf(out,
		      "%s{\"major\":%" PRIu64 ",\"minor\":%" PRIu64
		      ",\"op\":\"%s\",\"value\":%" PRIu64 "}",
		      *separator, entry->major, entry->minor, entry->op, entry->value);
	*separator = ",";
}

/* v1, "8:0 Read 4096" */
static void io_print_v1(const struct cgroup_member *member, const char *file, struct strbuf *out)
{
	char text[16384];
	const char *separator = "";

	if (!member || file_read_small(member->fd, file, text, sizeof(text)) <= 0)
		return;
	for (char *line = text; *line;) {
		size_t end = strcspn(line, "\n");
		struct io_entry entry;
		char op[16];

		if (line[end])
			line[end++] = '\0';
		if (sscanf(line, "%" SCNu64 ":%" SCNu64 " %15[A-Za-z] %" SCNu64, &entry.major,
			   &entry.minor, op, &entry.value) == 4) {
			entry.op = op;
			io_print(&entry, &separator, out);
		}
		line += end;
	}
}

/* v2, "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" */
static void io_print_v2(const struct cgroup_member *member, const char *const keys[2],
			struct strbuf *out)
{
	static const char *const ops[2] = {"Read", "Write"};
	char text[16384];
	const char *separator = "";

	if (!member || file_read_small(member->fd, "io.stat", text, sizeof(text)) <= 0)
		return;
	for (char *line = text; *line;) {
		size_t end = strcspn(line, "\n");
		struct io_entry entry;

		if (line[end])
			line[end++] = '\0';
		for (size_t i = 0;
		     i < 2 && sscanf(line, "%" SCNu64 ":%" SCNu64, &entry.major, &entry.minor) == 2;
		     i++) {
			const char *at = strstr(line, keys[i]);

			entry.op = ops[i];
			if (at && sscanf(at + strlen(keys[i]), "%" SCNu64, &entry.value) == 1)
				io_print(&entry, &separator, out);
		}
		line += end;
	}
}

static void stats_blkio(const struct cgroup *cgroup, struct strbuf *out)
{
	static const char *const bytes[2] = {" rbytes=", " wbytes="};
	static const char *const operations[2] = {" rios=", " wios="};
	struct source io = source_for(cgroup, "blkio", "io.stat");

	strbuf_add(out, "\"blkio\":{\"ioServiceBytesRecursive\":[");
	if (io.v2)
		io_print_v2(io.member, bytes, out);
	else
		io_print_v1(io.member, "blkio.throttle.io_service_bytes_recursive", out);
	strbuf_add(out, "],\"ioServicedRecursive\":[");
	if (io.v2)
		io_print_v2(io.member, operations, out);
	else
		io_print_v1(io.member, "blkio.throttle.io_serviced_recursive", out);
	strbuf_add(out, "]}");
}

/* "hugetlb.2MB.current" (v2), "hugetlb.2MB.usage_in_bytes" (v1): one member per page size. */
static void stats_hugetlb(const struct cgroup *cgroup, struct strbuf *out)
{
	struct source pages = {.member = cgroup_member_for(cgroup, false, "hugetlb")};
	const char *usage = ".usage_in_bytes";
	const char *separator = "";
	struct dirent *entry;
	DIR *stream;
	int fd;

	if (!pages.member) {
		pages = (struct source){cgroup_member_for(cgroup, true, NULL), true};
		usage = ".current";
	}
	strbuf_add(out, "\"hugetlb\":{");
	fd = pages.member ? sys_openat(pages.member->fd, ".", O_RDONLY | O_DIRECTORY, 0) : -1;
	stream = fd >= 0 ? fdopendir(fd) : NULL;
	while (stream && (entry = readdir(stream))) {
		char *size = entry->d_name + strlen("hugetlb.");
		char *dot = str_starts(entry->d_name, "hugetlb.") ? strchr(size, '.') : NULL;
		char file[NAME_MAX + 1];

		if (!dot || !str_eq(dot, usage))
			continue;
		strbuf_add(out, separator);
		separator = ",";
		snprintf(file, sizeof(file), "hugetlb.%.*s.max_usage_in_bytes", (int)(dot - size),
			 size);
		strbuf_printf(out,
			      "\"%.*s\":{\"usage\":%" PRIu64 ",\"max\":%" PRIu64 ",\"failcnt\":",
			      (int)(dot - size), size, read_number(pages.member, entry->d_name),
			      read_number(pages.member, file));
		snprintf(file, sizeof(file), "hugetlb.%.*s.%s", (int)(dot - size), size,
			 pages.v2 ? "events" : "failcnt");
		strbuf_printf(out, "%" PRIu64 "}",
			      pages.v2 ? read_key(pages.member, file, "max")
				       : read_number(pages.member, file));
	}
	if (stream)
		closedir(stream);
	strbuf_add_char(out, '}');
}

void cgroup_stats(const struct cgroup *cgroup, struct strbuf *out)
{
	void (*const parts[])(const struct cgroup *, struct strbuf *) = {
		stats_cpu, stats_cpuset, stats_memory, stats_pids, stats_blkio, stats_hugetlb};

	strbuf_add_char(out, '{');
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		parts[i](cgroup, out);
		strbuf_add_char(out, ',');
	}
	strbuf_add(out, "\"intel_rdt\":{},\"network_interfaces\":null}");
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	struct source memory = source_for(cgroup, "memory", "memory.events");

	return read_key(memory.member, memory.v2 ? "memory.events" : "memory.oom_control",
			"oom_kill");
}

static uint64_t figure(struct source source, const char *v1, const char *v2)
{
	const char *file = source.v2 ? v2 : v1;

	return source.member && file ? read_number(source.member, file) : UINT64_MAX;
}

/* The sum of "key=N" over all devices. */
static uint64_t io_sum(const char *text, const char *key)
{
	size_t len = strlen(key);
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, key)); at += len) {
		const char *digits = at + len;
		uint64_t value;

		if ((at == text || at[-1] == ' ') &&
		    num_parse_u64(digits, strspn(digits, "0123456789"), INT64_MAX, &value) == 0)
			sum += value;
	}
	return sum;
}

void cgroup_figures(const struct cgroup *cgroup, struct cgroup_figures *ret)
{
	struct source cpu = source_for(cgroup, "cpuacct", "cpu.stat");
	struct source io = source_for(cgroup, "blkio", "io.stat");
	char text[4096];

	*ret = (struct cgroup_figures){
		.memory_peak = figure(source_for(cgroup, "memory", "memory.peak"),
				      "memory.max_usage_in_bytes", "memory.peak"),
		.pids_peak = figure(source_for(cgroup, "pids", "pids.peak"), "pids.peak",
				    "pids.peak"),
		.cpu_usage_us = UINT64_MAX,
		.io_read = UINT64_MAX,
		.io_write = UINT64_MAX,
		.oom_kills = cgroup_oom_kills(cgroup),
	};
	if (cpu.member)
		ret->cpu_usage_us = cpu.v2 ? read_key(cpu.member, "cpu.stat", "usage_usec")
					   : read_number(cpu.member, "cpuacct.usage") / 1000;
	if (io.member && io.v2 &&
	    file_read_small(io.member->fd, "io.stat", text, sizeof(text)) >= 0) {
		ret->io_read = io_sum(text, "rbytes=");
		ret->io_write = io_sum(text, "wbytes=");
	}
}
