/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has left: processes, mounts, state. We are the subreaper, so every orphan becomes
 * our child, whatever it did to its session, its signals or its parent-death signal; and when we
 * have no child any more, nothing of the run is alive. prctl(2), PR_SET_CHILD_SUBREAPER.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sweep.h"

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Up to size - 1 bytes of a file of /proc. */
static void read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	size_t len = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (file) {
		len = fread(text, 1, size - 1, file);
		fclose(file);
	}
	for (size_t i = 0; i + 1 < len; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	text[len] = '\0';
}

/* proc_pid_stat(5), field 4. */
pid_t leftovers_parent(pid_t pid)
{
	char text[512];
	const char *at;
	int parent = 0;
	char state;

	read_proc(pid, "stat", text, sizeof(text));
	at = strrchr(text, ')');
	return at && sscanf(at + 1, " %c %d", &state, &parent) == 2 ? parent : 0;
}

void leftovers_name(pid_t pid, char *name, size_t size)
{
	read_proc(pid, "comm", name, size);
	name[strcspn(name, "\n")] = '\0';
}

/* Names and kills our children; returns their number. */
static int kill_children(bool name_them)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int n = 0;

	while (proc && (entry = readdir(proc))) {
		char text[200];
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid <= 0 || leftovers_parent(pid) != getpid())
			continue;
		n++;
		if (name_them) {
			read_proc(pid, "cmdline", text, sizeof(text));
			printf("# left alive: %d %s", (int)pid, text);
			read_proc(pid, "wchan", text, sizeof(text));
			printf(" in %s\n", text);
		}
		(void)kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
	return n;
}

/* Until we have no child: true, or the deadline: false. */
static bool reap_all(int64_t deadline)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		int64_t left = deadline - now_ms();
		struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
		pid_t pid = waitpid(-1, NULL, __WALL | WNOHANG);

		if (pid > 0 || (pid < 0 && errno == EINTR))
			continue;
		if (pid < 0)
			return true;
		if (left <= 0)
			return false;
		(void)sigtimedwait(&set, NULL, &wait);
	}
}

int leftovers_processes(int deadline_ms, int64_t *ret_ms)
{
	int64_t began = now_ms();
	int left = 0;

	if (!reap_all(began + deadline_ms)) {
		left = kill_children(true);
		/* what they held together may fall to us now */
		for (int i = 0; i < 100 && !reap_all(now_ms() + 100); i++)
			(void)kill_children(false);
	}
	*ret_ms = now_ms() - began;
	return left;
}

char *leftovers_mounts(const char *below)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *text = NULL;
	char *line = NULL;
	size_t text_size = 0;
	size_t line_size = 0;
	FILE *copy = file ? open_memstream(&text, &text_size) : NULL;

	while (copy && getline(&line, &line_size, file) > 0)
		if (!below || strstr(line, below))
			fputs(line, copy);
	free(line);
	if (copy)
		fclose(copy);
	if (file)
		fclose(file);
	return text;
}

int leftovers_state(const char *directory)
{
	DIR *root = opendir(directory);
	struct dirent *entry;
	int n = 0;

	while (root && (entry = readdir(root)))
		/* '@' cannot occur in an id: the filter cache */
		n += entry->d_name[0] != '.' && entry->d_name[0] != '@';
	if (root)
		closedir(root);
	return n;
}
