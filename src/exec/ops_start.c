/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps: hooks inside the container, HOME, descriptors, working directory, waiting for
 * `start`, execve. Runs in the child, after OP_IDS as the container's user. Files of the image
 * are data: opened non-blocking, checked to be regular, read to a cap.
 */
#include "exec/ops.h"

static bool begins_with(const char *s, const char *prefix)
{
	while (*prefix && *s == *prefix) {
		s++;
		prefix++;
	}
	return *prefix == '\0';
}

/* hooks: runtime-spec config.md#posix-platform-hooks */

static void hook_exec(struct exec_child *child, const struct plan_op *op)
{
	const struct plan_list *args = plan_list_at(child->plan, op->list);
	const struct plan_list *env = plan_list_at(child->plan, op->list2);
	char *argv[LIMIT_HOOK_STRINGS + 1];
	char *envp[LIMIT_HOOK_STRINGS + 1];
	size_t n_args = args ? args->count : 0;
	size_t n_env = env ? env->count : 0;

	for (size_t i = 0; i < n_args; i++)
		argv[i] = (char *)plan_str(child->plan, args->item[i]);
	argv[n_args] = NULL;
	for (size_t i = 0; i < n_env; i++)
		envp[i] = (char *)plan_str(child->plan, env->item[i]);
	envp[n_env] = NULL;
	/* its output belongs to the log, not into the program's standard output */
	if (SYS_CALL(SYS_lseek, child->slots[op->slot], 0, SEEK_SET) < 0 ||
	    sys_dup3(child->slots[op->slot], 0, 0) < 0 || sys_dup3(2, 1, 0) < 0)
		sys_exit(125);
	if (op->slot2 != SLOT_NONE && sys_fchdir(child->slots[op->slot2]) < 0)
		sys_exit(125);
	(void)op_reset_signals(child, op);
	if ((op->flags & OPF_FILTERED) && filter_install(child, 0) < 0)
		sys_exit(125);
	(void)sys_execve(op_str(child, op, 0), argv, envp);
	sys_exit(127);
}

/* Waits for a hook; after its time is up it is killed and -ETIME returned. */
static int hook_wait(int pidfd, uint64_t seconds, int *ret_status)
{
	struct pollfd poll = {.fd = pidfd, .events = POLLIN};
	struct timespec timeout = {.tv_sec = (time_t)seconds};
	siginfo_t info = {0};
	int r = 1;

	if (seconds) {
		do
			r = sys_ppoll(&poll, 1, &timeout);
		while (r == -EINTR);
	}
	if (r == 0)
		(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (sys_wait_pidfd(pidfd, &info, WEXITED) < 0)
		return -ECHILD;
	if (r == 0)
		return -ETIME;
	*ret_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
	return 0;
}

int op_hook(struct exec_child *child, const struct plan_op *op)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	int status = 0;
	pid_t pid = sys_clone3(&args);
	int r;

	if (pid < 0)
		return pid;
	if (pid == 0)
		hook_exec(child, op);
	r = hook_wait(pidfd, op->arg[0], &status);
	sys_close(pidfd);
	if (r == -ETIME)
		exec_fail(child, op, ETIME, -1);
	if (r == 0 && status != 0)
		exec_fail(child, op, ECANCELED, status);
	return r;
}

/* HOME: passwd(5) */

struct passwd_line {
	char text[EXEC_HOME_BYTES];
	size_t len;
	bool too_long;
};

/* Field n (from 0) of name:x:uid:gid:gecos:dir:shell, or NULL. */
static const char *passwd_field(const struct passwd_line *line, int n, size_t *ret_len)
{
	size_t start = 0;
	size_t end;

	for (; n > 0; n--) {
		while (start < line->len && line->text[start] != ':')
			start++;
		if (start == line->len)
			return NULL;
		start++;
	}
	for (end = start; end < line->len && line->text[end] != ':'; end++)
		;
	*ret_len = end - start;
	return line->text + start;
}

static bool passwd_uid_is(const struct passwd_line *line, uint64_t uid)
{
	size_t len;
	const char *field = passwd_field(line, 2, &len);
	uint64_t value = 0;

	if (!field || len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (field[i] < '0' || field[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(field[i] - '0');
	}
	return value == uid;
}

/* The home directory of a matching line into child->home. */
static bool passwd_take(struct exec_child *child, const struct passwd_line *line, uint64_t uid)
{
	size_t len;
	const char *dir;

	if (line->too_long || !passwd_uid_is(line, uid))
		return false;
	dir = passwd_field(line, 5, &len);
	if (!dir || len == 0 || dir[0] != '/' || len + 6 > sizeof(child->home))
		return false;
	memcpy(child->home + 5, dir, len);
	child->home[5 + len] = '\0';
	return true;
}

static bool passwd_scan(struct exec_child *child, int fd, uint64_t uid)
{
	struct passwd_line line = {.len = 0};
	size_t total = 0;
	char buf[4096];

	for (;;) {
		ssize_t len = sys_read(fd, buf, sizeof(buf));

		if (len == -EINTR)
			continue;
		if (len <= 0 || (total += (size_t)len) > LIMIT_PASSWD_BYTES)
			return line.len && passwd_take(child, &line, uid);
		for (ssize_t i = 0; i < len; i++) {
			if (buf[i] != '\n') {
				line.too_long |= line.len == sizeof(line.text);
				if (!line.too_long)
					line.text[line.len++] = buf[i];
				continue;
			}
			if (passwd_take(child, &line, uid))
				return true;
			line.len = 0;
			line.too_long = false;
		}
	}
}

int op_home(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat2(child->slots[SLOT_ROOT], "/etc/passwd",
			     O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
			     RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	struct statx st;
	size_t i = 0;

	memcpy(child->home, "HOME=/", sizeof("HOME=/"));
	if (fd >= 0 && fd_statx(fd, &st) == 0 && S_ISREG(st.stx_mode))
		(void)passwd_scan(child, fd, op->arg[0]);
	sys_close_slot(&fd);
	/* an empty HOME= in the configuration is replaced, a missing one appended */
	while (i < child->n_envp && !begins_with(child->envp[i], "HOME="))
		i++;
	child->envp[i] = child->home;
	if (i == child->n_envp)
		child->envp[++child->n_envp] = NULL;
	return 0;
}

/* descriptors */

/*
 * Really closes (not only close-on-exec) what must be gone before the working directory is
 * entered. Kept: the handshake, and what ops after this one use.
 */
int op_close_fds(struct exec_child *child, const struct plan_op *op)
{
	int keep[] = {child->sock, child->slots[SLOT_START], child->slots[SLOT_STATE_CREATED]};
	unsigned from = (unsigned)op->arg[0];

	/* those of ours that happen to lie below `from`, between the preserved ones */
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		if (slot == SLOT_START || slot == SLOT_STATE_CREATED)
			continue;
		if (child->slots[slot] >= 0 && (unsigned)child->slots[slot] < from)
			sys_close(child->slots[slot]);
		child->slots[slot] = -1;
	}
	for (;;) {
		unsigned next = UINT_MAX;
		int r;

		for (size_t i = 0; i < ARRAY_LEN(keep); i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from) {
			r = sys_close_range(from, next == UINT_MAX ? next : next - 1, 0);
			if (r < 0)
				return r;
		}
		if (next == UINT_MAX)
			return 0;
		from = next + 1;
	}
}

/* CVE-2024-21626: a directory outside the root shows as "(unreachable)/..." */
static int cwd_is_inside(void)
{
	char cwd[LIMIT_PATH_BYTES];
	int r = SYS_CALL(SYS_getcwd, cwd, sizeof(cwd));

	if (r < 0)
		return r;
	return cwd[0] == '/' ? 0 : -EXDEV;
}

int op_chdir(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat2(AT_FDCWD, op_str(child, op, 0), O_PATH | O_DIRECTORY, 0,
			     RESOLVE_NO_MAGICLINKS);
	int r;

	if (fd < 0)
		return fd;
	r = sys_fchdir(fd);
	if (r == 0)
		r = cwd_is_inside();
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	slot_set(child, op->slot, fd);
	return 0;
}

/* the program: execvp(3), but with the container's PATH */

/* PATH of the environment; the last one wins, as for a program that reads environ. */
static const char *env_path(const struct exec_child *child)
{
	const char *value = "/bin:/usr/bin"; /* confstr(3), _CS_PATH */

	for (size_t i = 0; i < child->n_envp; i++)
		if (begins_with(child->envp[i], "PATH="))
			value = child->envp[i] + 5;
	return value;
}

static int program_check(const char *path)
{
	struct statx st;
	int r = SYS_CALL(SYS_statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, &st);

	if (r == 0 && !S_ISREG(st.stx_mode))
		r = -EACCES;
	if (r == 0)
		r = sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS);
	return r;
}

static int program_set(struct exec_child *child, const char *dir, size_t dir_len, const char *name)
{
	size_t name_len = strlen(name);
	size_t at = 0;

	if (dir_len + 1 + name_len >= sizeof(child->program))
		return -ENAMETOOLONG;
	if (dir_len) {
		memcpy(child->program, dir, dir_len);
		child->program[dir_len] = '/';
		at = dir_len + 1;
	}
	memcpy(child->program + at, name, name_len + 1);
	return 0;
}

int op_find_program(struct exec_child *child, const struct plan_op *op UNUSED)
{
	const char *name = child->argv[0];
	const char *path = env_path(child);
	int result = -ENOENT;

	if (memchr(name, '/', strlen(name))) {
		result = program_set(child, NULL, 0, name);
		return result < 0 ? result : program_check(name);
	}
	for (;;) {
		size_t len = 0;
		int r;

		while (path[len] && path[len] != ':')
			len++;
		/* an empty entry is the working directory: program_set() leaves the name as it is,
		 * and "./" keeps execve from another search */
		r = len ? program_set(child, path, len, name) : program_set(child, ".", 1, name);
		if (r == 0)
			r = program_check(child->program);
		if (r == 0)
			return 0;
		if (r == -EACCES)
			result = r;
		if (!path[len])
			return result;
		path += len + 1;
	}
}

/*
 * `create` is done: from here the process belongs to the caller, and `start` takes the parent's
 * place on the handshake.
 */
int op_wait_start(struct exec_child *child, const struct plan_op *op)
{
	int conn;

	sys_close(child->sock);
	child->sock = -1;
	do
		conn = SYS_CALL(SYS_accept4, child->slots[op->slot], NULL, NULL, SOCK_CLOEXEC);
	while (conn == -EINTR || conn == -ECONNABORTED);
	if (conn < 0)
		return conn;
	child->sock = conn;
	sys_close_slot(&child->slots[op->slot]);
	return 0;
}

int op_exec(struct exec_child *child, const struct plan_op *op UNUSED)
{
	return sys_execve(child->program, child->argv, child->envp);
}
