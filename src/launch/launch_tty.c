/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal's master: given away over the console socket, or kept and copied to and from our
 * standard streams. Runs in the parent. Our own terminal, when there is one, is raw meanwhile.
 */
#include <sys/ioctl.h>
#include <sys/un.h>
#include <termios.h>
#include "launch/launch_private.h"
#include "launch/tty_pump.h"

int descriptor_send(const char *path, int fd, const char *text, size_t len)
{
	/* through the descriptor of the socket's file: its path may be longer than sun_path */
	CLEANUP_FD int file = sys_openat(AT_FDCWD, path, O_PATH, 0);
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = len};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	if (file < 0 || sock < 0)
		return file < 0 ? file : sock;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(sock, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int console_send(const char *path, int master, struct rb_err *err)
{
	/* receivers want 1 to 4095 bytes beside the one descriptor; runc sends the name */
	int r = descriptor_send(path, master, "/dev/ptmx", 9);

	if (r < 0) {
		err_set(err, RB_CONSOLE_SOCKET, -r, "cannot send the terminal to '%s'", path);
		err_fix(err,
			"--console-socket names a unix stream socket that somebody listens on");
	}
	return r;
}

int tty_pump_size(int master)
{
	struct winsize size;

	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCGWINSZ, &size) == 0)
			return ioctl(master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
	return -ENOTTY;
}

void tty_pump_begin(struct tty_pump *pump, int master)
{
	struct termios raw;

	*pump = (struct tty_pump){.master = master, .input = STDIN_FILENO};
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
	if (tcgetattr(STDIN_FILENO, &pump->saved) == 0) {
		raw = pump->saved;
		cfmakeraw(&raw);
		pump->restore = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
}

void tty_pump_end(struct tty_pump *pump)
{
	if (pump->restore)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &pump->saved);
	pump->restore = false;
}

void tty_pump_poll(const struct tty_pump *pump, struct pollfd fds[3])
{
	short master = 0;

	/* read only what there is room for, and write only what will not block */
	if (pump->out.len == 0)
		master |= POLLIN;
	if (pump->in.len > 0)
		master |= POLLOUT;
	fds[0] = (struct pollfd){.fd = pump->hung_up ? -1 : pump->master, .events = master};
	fds[1] = (struct pollfd){.fd = pump->in.len == 0 ? pump->input : -1, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = pump->out.len > 0 ? STDOUT_FILENO : -1, .events = POLLOUT};
}

static void buffer_drop(struct tty_buffer *buffer, size_t n)
{
	memmove(buffer->bytes, buffer->bytes + n, buffer->len - n);
	buffer->len -= n;
}

/* Our input is at its end: the program reads the terminal's own end-of-file character. */
static void pump_input_end(struct tty_pump *pump)
{
	pump->input = -1;
	pump->in.bytes[0] = 4; /* VEOF's default: termios(3) */
	pump->in.len = 1;
}

void tty_pump_copy(struct tty_pump *pump, const struct pollfd fds[3])
{
	ssize_t n;

	if (fds[1].revents && pump->in.len == 0) {
		n = read(pump->input, pump->in.bytes, sizeof(pump->in.bytes));
		if (n > 0)
			pump->in.len = (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			pump_input_end(pump);
	}
	if ((fds[0].revents & POLLOUT) && pump->in.len > 0) {
		n = write(pump->master, pump->in.bytes, pump->in.len);
		if (n > 0)
			buffer_drop(&pump->in, (size_t)n);
	}
	if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) && pump->out.len == 0) {
		n = read(pump->master, pump->out.bytes, sizeof(pump->out.bytes));
		if (n > 0)
			pump->out.len = (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			pump->hung_up = true; /* EIO: the last process has closed the terminal */
	}
	if (fds[2].revents && pump->out.len > 0) {
		n = write(STDOUT_FILENO, pump->out.bytes, pump->out.len);
		if (n > 0)
			buffer_drop(&pump->out, (size_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			pump->out.len = 0; /* nobody reads any more */
	}
}

void tty_pump_drain(struct tty_pump *pump)
{
	struct pollfd fds[3];

	pump->input = -1;
	pump->in.len = 0;
	/* what is there now; a process that keeps the terminal open does not keep us */
	for (int rounds = 0; rounds < 4096; rounds++) {
		tty_pump_poll(pump, fds);
		if (poll(fds, 3, pump->out.len ? 1000 : 0) <= 0)
			return;
		tty_pump_copy(pump, fds);
		if (pump->hung_up && pump->out.len == 0)
			return;
	}
}
