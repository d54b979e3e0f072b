// SPDX-License-Identifier: Apache-2.0
/*
 * How fast the worker is, against its goals. bench/worker builds this program and starts it as root
 * of an ordinary user's namespace.
 *
 * It is a client as any other: librunbuild-client, linked in. What the worker is compared with, it
 * starts itself by vfork and execve (harness_proc.c), in turns with the worker's steps: the program
 * of the step for the floor, crun. Small and static, so that neither side waits for the client.
 *
 * Must not: do anything between the clock readings but ask and read the answer, or start and wait.
 *
 * Exit status: 0; 1 a goal was missed and --check was given; 2 usage, or nothing could be measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

enum {
	SLICES = 4,      /* of each candidate in `parallel` and `output` */
	SLICE_MS = 1000, /* of `parallel` */
	FLOOD_MS = 3000, /* pings under each kind of flood */
	MOUNTS = 100,    /* of each driver */
	WARM = 200,      /* steps before anything is counted */
	OUTPUT_BYTES = 400 << 20,
	WARM_CHILDREN = 2, /* of the worker, unless it was told otherwise */
};

static void bench_step(struct bench *b)
{
	int64_t *steps = room_for(b->rounds);
	int64_t *floors = room_for(b->rounds);
	struct phases phases = {room_for(b->rounds), room_for(b->rounds)};
	int64_t floor_cpu = 0;
	double cpu;

	for (size_t i = 0; i < 20; i++)
		run_step(b, NULL, 0);
	for (size_t i = 0; i < b->rounds; i++) {
		int64_t began;

		floors[i] = run_floor(b->program, &floor_cpu);
		began = now_ns();
		run_step(b, &phases, i);
		steps[i] = now_ns() - began;
	}
	cpu = worker_cpu_us(b);
	for (size_t i = 0; i < b->rounds; i++)
		run_step(b, NULL, 0);
	cpu = worker_cpu_us(b) - cpu;
	printf("# step %.0f us (min %.0f, p90 %.0f), floor %.0f us (min %.0f); by minima %.3f x; "
	       "%.0f us of CPU a step, %.0f a floor\n",
	       percentile_us(steps, b->rounds, 50), percentile_us(steps, b->rounds, 0),
	       percentile_us(steps, b->rounds, 90), percentile_us(floors, b->rounds, 50),
	       percentile_us(floors, b->rounds, 0),
	       percentile_us(steps, b->rounds, 0) / percentile_us(floors, b->rounds, 0),
	       cpu / (double)b->rounds, (double)floor_cpu / 1e3 / (double)b->rounds);
	row(b, "step / spawn",
	    percentile_us(steps, b->rounds, 50) / percentile_us(floors, b->rounds, 50), "x", 2.5);
	printf("# set-up %.0f us (min %.0f), program %.0f us (min %.0f)\n",
	       1e3 * percentile_us(phases.setup_us, b->rounds, 50),
	       1e3 * percentile_us(phases.setup_us, b->rounds, 0),
	       1e3 * percentile_us(phases.run_us, b->rounds, 50),
	       1e3 * percentile_us(phases.run_us, b->rounds, 0));
	free(phases.setup_us);
	free(phases.run_us);
	free(steps);
	free(floors);
}

/* Two at a time, for a slice. Returns how many ended in it; *ns grows by the time it took. */
static size_t steps_of_slice(struct bench *b, int64_t *ns)
{
	int64_t began = now_ns();
	size_t running = 0;
	size_t done = 0;

	do {
		struct runbuild_message message;

		for (; running < 2; running++)
			start_step(b);
		message = next(b);
		if (message.id == 0)
			continue;
		check_step(&message);
		running--;
		done++;
	} while (now_ns() - began < SLICE_MS * INT64_C(1000000));
	*ns += now_ns() - began;
	for (; running > 0;) {
		struct runbuild_message message = next(b);

		running -= message.id != 0;
	}
	return done;
}

static pid_t start_crun(struct bench *b, const char *bundle)
{
	char id[32];
	char *argv[] = {(char *)b->crun, (char *)"--root", (char *)b->crun_state,
			(char *)"--cgroup-manager=disabled", (char *)"run",
			/* of keyrings a user has 200, and other work may have used them */
			(char *)"--no-new-keyring", (char *)"--bundle", (char *)bundle, id, NULL};
	pid_t pid;

	snprintf(id, sizeof(id), "c%llu", (unsigned long long)++b->number);
	pid = proc_spawn(argv, b->crun_ns);
	if (pid < 0)
		die("%s: %s", b->crun, strerror(-pid));
	return pid;
}

static void wait_for_crun(pid_t pids[2], size_t *running, double *cpu_us)
{
	struct rusage usage = {0};
	int status;
	pid_t pid = wait4(-1, &status, 0, &usage);

	*cpu_us += cpu_of(&usage);
	for (size_t i = 0; pid > 0 && i < *running; i++) {
		if (pids[i] != pid)
			continue;
		if (status != 0)
			die("crun does not run here");
		pids[i] = pids[--*running];
		return;
	}
}

static size_t cruns_of_slice(struct bench *b, const char *bundle, int64_t *ns, double *cpu_us)
{
	int64_t began = now_ns();
	pid_t pids[2];
	size_t running = 0;
	size_t done = 0;

	do {
		for (; running < 2; running++)
			pids[running] = start_crun(b, bundle);
		wait_for_crun(pids, &running, cpu_us);
		done += 2 - running;
	} while (now_ns() - began < SLICE_MS * INT64_C(1000000));
	*ns += now_ns() - began;
	while (running > 0)
		wait_for_crun(pids, &running, cpu_us);
	return done;
}

static void bench_parallel(struct bench *b)
{
	static const char *const names[] = {"parallel steps / crun run",
					    "parallel steps / crun, no seccomp"};
	int64_t ns[3] = {0};
	size_t done[3] = {0};
	double rates[3] = {0};
	double cpu[3] = {0};

	for (int slice = 0; slice < SLICES; slice++) {
		double before = worker_cpu_us(b);

		done[0] += steps_of_slice(b, &ns[0]);
		cpu[0] += worker_cpu_us(b) - before;
		for (size_t i = 0; b->crun && i < ARRAY_LEN(b->bundles); i++)
			done[1 + i] += cruns_of_slice(b, b->bundles[i], &ns[1 + i], &cpu[1 + i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		rates[i] = ns[i] ? (double)done[i] * 1e9 / (double)ns[i] : 0;
		cpu[i] = done[i] ? cpu[i] / (double)done[i] : 0;
	}
	printf("# runbuild %.0f steps/s (%.0f us of CPU each), crun %.0f runs/s (%.0f us), "
	       "without seccomp %.0f (%.0f us)\n",
	       rates[0], cpu[0], rates[1], cpu[1], rates[2], cpu[2]);
	if (!b->crun)
		printf("# parallel: no ratio, crun does not run here\n");
	for (size_t i = 0; b->crun && i < ARRAY_LEN(names); i++)
		row(b, names[i], rates[0] / rates[1 + i], "x", -4);
}

struct figures {
	double rss, fds, mounts;
};

static struct figures figures(struct bench *b)
{
	/* what waits for the next step is part of both figures, or of none */
	while (stats(b, "warm") < WARM_CHILDREN)
		usleep(10000);
	return (struct figures){
		.rss = (double)(stats(b, "rssPages") * stats(b, "pageSize")) / (1 << 20),
		.fds = (double)open_descriptors(b->worker),
		.mounts = (double)count_lines("/proc/self/mountinfo"),
	};
}

static void bench_growth(struct bench *b)
{
	struct figures before, after;
	char name[64];

	for (size_t i = 0; i < WARM; i++)
		run_step(b, NULL, 0);
	before = figures(b);
	for (size_t i = 0; i < b->steps; i++)
		run_step(b, NULL, 0);
	after = figures(b);
	snprintf(name, sizeof(name), "memory after %zu steps", b->steps);
	row(b, name, after.rss - before.rss, "MiB", 4);
	row(b, "descriptors", after.fds - before.fds, "", 0);
	row(b, "mounts", after.mounts - before.mounts, "", 0);
}

/*
 * A ping each millisecond, not one after the other: those would crowd where nothing else is to be
 * done.
 */
static int64_t timed_ping(struct bench *b, uint64_t *bytes)
{
	int64_t began = now_ns();
	uint64_t ping = ask(b, "ping", NULL, -1);
	uint64_t id = 0;
	int64_t took;

	while (id != ping)
		if (!take_message(b, ANSWER_MS, bytes, &id))
			die("no answer to a ping");
	took = now_ns() - began;
	while (now_ns() - began < 1000000)
		(void)take_message(b, 1, bytes, &id);
	return took;
}

/* window 0: the worker does not wait for acknowledgements. */
static void ping_under_flood(struct bench *b, const char *what, const char *io)
{
	int64_t end = now_ns() + FLOOD_MS * INT64_C(1000000);
	int64_t *times = room_for(FLOOD_MS + 1);
	uint64_t bytes = 0;
	size_t n = 0;
	uint64_t flood;
	char params[1024];
	char name[64];
	double p99;

	snprintf(params, sizeof(params),
		 "{\"step\":\"flood\",\"process\":{\"args\":[\"/bin/busybox\",\"yes\"]},"
		 "\"rootfs\":{\"path\":\"%s\"},\"io\":{%s}}",
		 b->root, io);
	flood = ask(b, "step.run", params, -1);
	while (bytes == 0)
		(void)timed_ping(b, &bytes);
	while (now_ns() < end && n < FLOOD_MS)
		times[n++] = timed_ping(b, &bytes);
	if (runbuild_client_cancel(b->client, "flood", 0) < 0)
		die("step.cancel");
	(void)good_answer(b, flood);
	p99 = percentile_us(times, n, 99);
	printf("# ping, %s: median %.0f us, p90 %.0f, max %.0f, %zu of them, %.0f MB/s of output\n",
	       what, percentile_us(times, n, 50), percentile_us(times, n, 90),
	       (double)times[n - 1] / 1e3, n, (double)bytes / 1e6 * 1e3 / FLOOD_MS);
	snprintf(name, sizeof(name), "ping, 99th percentile, %s", what);
	row(b, name, p99 / 1e3, "ms", 1);
	free(times);
}

static void bench_ping(struct bench *b)
{
	ping_under_flood(b, "window", "\"inband\":true");
	ping_under_flood(b, "no window", "\"window\":0");
}

static void drain(int fd)
{
	static char bytes[1 << 20];
	uint64_t total = 0;
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0 || (got < 0 && errno == EINTR))
		total += got > 0 ? (uint64_t)got : 0;
	close(fd);
	if (total != OUTPUT_BYTES)
		die("%llu bytes of output", (unsigned long long)total);
}

static void make_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
}

static double through_plain_pipe(struct bench *b, const char *count)
{
	char program[1024];
	char *argv[] = {program,       (char *)"head",      (char *)"-c",
			(char *)count, (char *)"/dev/zero", NULL};
	int64_t began = now_ns();
	int ours = fcntl(1, F_DUPFD_CLOEXEC, 3);
	int ends[2];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/bin/busybox", b->root);
	make_pipe(ends);
	if (ours < 0 || dup2(ends[1], 1) < 0)
		die("dup2: %s", strerror(errno));
	pid = proc_spawn(argv, -1);
	dup2(ours, 1);
	close(ours);
	close(ends[1]);
	drain(ends[0]);
	if (pid < 0 || proc_wait(pid, began, NULL) != 0)
		die("head does not run");
	return OUTPUT_BYTES / 1e6 / ((double)(now_ns() - began) / 1e9);
}

static double through_worker(struct bench *b, const char *count)
{
	struct runbuild_message message;
	int64_t began = now_ns();
	char params[1024];
	uint64_t id;
	int ends[2];

	make_pipe(ends);
	snprintf(params, sizeof(params),
		 "{\"step\":\"out\",\"process\":{\"args\":[\"/bin/busybox\",\"head\",\"-c\",\"%s\","
		 "\"/dev/zero\"]},\"rootfs\":{\"path\":\"%s\"},\"io\":{\"fds\":{\"stdout\":0}}}",
		 count, b->root);
	id = ask(b, "step.run", params, ends[1]);
	close(ends[1]);
	drain(ends[0]);
	message = answer(b, id);
	check_step(&message);
	return OUTPUT_BYTES / 1e6 / ((double)(now_ns() - began) / 1e9);
}

static void bench_output(struct bench *b)
{
	char count[32];
	double ours = 0;
	double plain = 0;

	snprintf(count, sizeof(count), "%d", OUTPUT_BYTES);
	for (int i = 0; i < SLICES; i++) {
		double rate = through_plain_pipe(b, count);

		plain = rate > plain ? rate : plain;
		rate = through_worker(b, count);
		ours = rate > ours ? rate : ours;
	}
	printf("# output: %.0f MB/s, plain pipe %.0f MB/s\n", ours, plain);
	row(b, "output by descriptor / pipe", ours / plain, "x", -0.8);
}

static void bench_mount_driver(struct bench *b, const char *driver, double limit)
{
	bool native = strcmp(driver, "native") == 0;
	int64_t *times = room_for(MOUNTS);
	char name[64];

	for (size_t i = 0; i < MOUNTS; i++) {
		struct runbuild_message message;
		char params[2048];
		int64_t began = now_ns();

		snprintf(params, sizeof(params),
			 "{\"id\":\"m%zu\",\"snapshot\":{\"lower\":[\"%s/lower\",\"%s\"],"
			 "\"upper\":\"%s/upper\",\"work\":\"%s/work\",\"driver\":\"%s\"}}",
			 i, b->tmpfs, b->root, b->tmpfs, b->tmpfs, driver);
		message = answer(b, ask(b, "snapshot.mount", params, -1));
		times[i] = now_ns() - began;
		if (message.kind == RUNBUILD_ERROR) {
			printf("# mount %s: left out, %s\n", driver, message.error_text);
			free(times);
			return;
		}
		snprintf(params, sizeof(params), "{\"id\":\"m%zu\"}", i);
		(void)good_answer(b, ask(b, "snapshot.umount", params, -1));
		if (native)
			times[i] = now_ns() - began;
	}
	printf("# %s: min %.0f us, p90 %.0f us\n", driver, percentile_us(times, MOUNTS, 0),
	       percentile_us(times, MOUNTS, 90));
	snprintf(name, sizeof(name), "snapshot %s, %s", driver,
		 native ? "mount and umount" : "ready");
	row(b, name, percentile_us(times, MOUNTS, 50) / 1e3, "ms", limit);
	free(times);
}

static void bench_mount(struct bench *b)
{
	bench_mount_driver(b, "native", 0.5);
	bench_mount_driver(b, "fuse", 2);
}

static const struct {
	const char *name;
	void (*run)(struct bench *);
} benches[] = {
	{"step", bench_step}, {"parallel", bench_parallel}, {"growth", bench_growth},
	{"ping", bench_ping}, {"output", bench_output},     {"mount", bench_mount},
};

/* Is the name in the list between commas? An empty list has every name. */
static bool is_wanted(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == len && memcmp(at, name, len) == 0)
			return true;
	return !*list;
}

/* The worker; before it comes the holder of crun's mount namespace. */
static pid_t last_child(void)
{
	FILE *file = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	while (file && fscanf(file, "%d", &pid) == 1)
		;
	if (!pid)
		die("no worker among the children");
	fclose(file);
	return pid;
}

static bool read_options(struct bench *b, int argc, char **argv, const char **ret_only)
{
	static const struct option options[] = {
		{"runbuild", 1, NULL, 'w'}, {"root", 1, NULL, 'r'},   {"program", 1, NULL, 'p'},
		{"tmpfs", 1, NULL, 't'},    {"crun", 1, NULL, 'c'},   {"crun-state", 1, NULL, 's'},
		{"crun-ns", 1, NULL, 'n'},  {"bundle", 1, NULL, 'b'}, {"bare-bundle", 1, NULL, 'B'},
		{"rounds", 1, NULL, 'R'},   {"steps", 1, NULL, 'S'},  {"only", 1, NULL, 'o'},
		{"check", 0, NULL, 'C'},    {NULL, 0, NULL, 0},
	};
	bool check = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w': b->runbuild = optarg; break;
		case 'r': b->root = optarg; break;
		case 'p': b->program = optarg; break;
		case 't': b->tmpfs = optarg; break;
		case 'c': b->crun = optarg; break;
		case 's': b->crun_state = optarg; break;
		case 'n': b->crun_ns = open(optarg, O_RDONLY | O_CLOEXEC); break;
		case 'b': b->bundles[0] = optarg; break;
		case 'B': b->bundles[1] = optarg; break;
		case 'R': b->rounds = strtoul(optarg, NULL, 10); break;
		case 'S': b->steps = strtoul(optarg, NULL, 10); break;
		case 'o': *ret_only = optarg; break;
		case 'C': check = true; break;
		default: die("bench/worker starts this program");
		}
	}
	return check;
}

int main(int argc, char **argv)
{
	struct bench b = {.crun_ns = -1, .rounds = 300, .steps = 10000};
	const char *only = "";
	bool check = read_options(&b, argc, argv, &only);
	int r = proc_init();

	if (!b.runbuild || !b.root || !b.program || !b.tmpfs || b.rounds == 0)
		die("bench/worker starts this program");
	if (r == 0)
		r = runbuild_client_spawn(b.runbuild, &b.client);
	if (r < 0)
		die("cannot start a worker: %s", strerror(-r));
	b.worker = last_child();
	for (size_t i = 0; i < ARRAY_LEN(benches); i++)
		if (is_wanted(only, benches[i].name))
			benches[i].run(&b);
	runbuild_client_close(b.client);
	printf("%u goals met, %u missed\n", b.met, b.missed);
	return check && b.missed ? 1 : 0;
}
