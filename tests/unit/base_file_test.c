/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not what they should be, and the log. */
#include <sys/socket.h>
#include "base/fd_message.h"
#include "base/json.h"
#include "base/log.h"
#include "scratch.h"
#include "tap.h"

/* ---- files --------------------------------------------------------------------------------- */

static int read_named(struct scratch *scratch, const char *name, size_t max, size_t *ret_len)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text;
	int r = file_read_at(&arena, scratch->fd, name, max, &text, ret_len);

	CHECK(r < 0 || text[*ret_len] == '\0');
	return r;
}

static void file_of_the_largest_size_is_read(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	char text[5000];
	size_t len;

	memset(text, 't', sizeof(text));
	scratch_file(&scratch, "file", text, sizeof(text));
	CHECK(read_named(&scratch, "file", sizeof(text), &len) == 0 && len == sizeof(text));
	CHECK(read_named(&scratch, "file", sizeof(text) - 1, &len) == -EFBIG);
	scratch_file(&scratch, "empty", "", 0);
	CHECK(read_named(&scratch, "empty", 10, &len) == 0 && len == 0);
	CHECK(read_named(&scratch, "absent", 10, &len) == -ENOENT);
}

static void file_of_huge_sparse_size_is_refused_before_reading(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	size_t len;
	int fd;

	scratch_file(&scratch, "sparse", "", 0);
	fd = openat(scratch.fd, "sparse", O_WRONLY | O_CLOEXEC);
	CHECK(ftruncate(fd, 1ll << 40) == 0);
	close(fd);
	CHECK(read_named(&scratch, "sparse", 1 << 20, &len) == -EFBIG);
}

static void file_that_is_a_fifo_does_not_block(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	char buf[8];
	size_t len;

	CHECK(mkfifoat(scratch.fd, "fifo", 0600) == 0);
	CHECK(read_named(&scratch, "fifo", 10, &len) == -EINVAL);
	/* nobody writes: the end of the file, at once */
	CHECK(file_read_small(scratch.fd, "fifo", buf, sizeof(buf)) == 0);
}

static void file_that_is_a_link_is_not_followed(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	char buf[8];
	size_t len;

	scratch_file(&scratch, "file", "x", 1);
	CHECK(symlinkat("file", scratch.fd, "link") == 0);
	CHECK(read_named(&scratch, "link", 10, &len) == -ELOOP);
	CHECK(file_read_small(scratch.fd, "link", buf, sizeof(buf)) == -ELOOP);
	CHECK(file_write_at(scratch.fd, "link", "y", 1) == -ELOOP);
}

static void file_that_is_no_regular_file_is_refused(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	size_t len;
	char *text;

	CHECK(mkdirat(scratch.fd, "dir", 0700) == 0);
	CHECK(read_named(&scratch, "dir", 10, &len) == -EINVAL);
	CHECK(file_read_at(&arena, AT_FDCWD, "/dev/zero", 10, &text, &len) == -EINVAL);
}

static void file_of_proc_is_read_though_its_size_is_zero(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text;
	size_t len;

	CHECK(file_read_at(&arena, AT_FDCWD, "/proc/self/status", 1 << 20, &text, &len) == 0);
	CHECK(len > 100 && str_starts(text, "Name:"));
	CHECK(file_read_at(&arena, AT_FDCWD, "/proc/self/status", 100, &text, &len) == -EFBIG);
}

static void file_replace_leaves_the_old_or_the_new_file(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct stat st;
	char *text;
	DIR *stream;
	size_t entries = 0;

	CHECK(file_replace_at(scratch.fd, "f", "one", 3, 0600) == 0);
	CHECK(file_replace_at(scratch.fd, "f", "two", 3, 0600) == 0);
	CHECK(file_read_at(&arena, scratch.fd, "f", 10, &text, NULL) == 0);
	CHECK_STR(text, "two");
	CHECK(fstatat(scratch.fd, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	/* a directory is in the way: nothing changes and nothing is left */
	CHECK(mkdirat(scratch.fd, "dir", 0700) == 0);
	CHECK(file_replace_at(scratch.fd, "dir", "x", 1, 0600) < 0);
	stream = fdopendir(openat(scratch.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (readdir(stream))
		entries++;
	closedir(stream);
	CHECK(entries == 4); /* . .. f dir */
}

static void fd_copies_are_closed_on_exec_and_high_enough(void)
{
	int copy = fd_dup(STDIN_FILENO, 40);
	int memory = fd_from_bytes("test", "abc", 3);
	char buf[4] = "";

	CHECK(copy >= 40 && (fcntl(copy, F_GETFD) & FD_CLOEXEC));
	CHECK((fcntl(memory, F_GETFD) & FD_CLOEXEC) && read(memory, buf, 4) == 3);
	CHECK_STR(buf, "abc");
	close(copy);
	close(memory);
}

/* ---- the log ------------------------------------------------------------------------------- */

static void log_to(struct scratch *scratch, const char *name, bool json, bool debug)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err;

	CHECK(log_open(arena_printf(&arena, "%s/%s", scratch->path, name), json, debug, &err) == 0);
}

/* Runs log_error() with standard error in a file and returns what went there. */
static const char *logged_error(struct arena *arena, const struct rb_err *err)
{
	int saved = fd_dup(STDERR_FILENO, 3);
	CLEANUP_FD int file = fd_from_bytes("stderr", "", 0);
	char *text = NULL;

	dup3(file, STDERR_FILENO, O_CLOEXEC);
	log_error(err);
	dup3(saved, STDERR_FILENO, 0);
	close(saved);
	lseek(file, 0, SEEK_SET);
	return file_read_fd(arena, file, 1 << 16, &text, NULL) == 0 ? text : NULL;
}

static void log_json_line_is_what_containerd_reads(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err = {0};
	char *text;
	size_t len;

	log_to(&scratch, "log", true, false);
	log_warn("a \"quoted\"\nwarning %s", "\xff");
	log_debug("not asked for");
	CHECK(log_open(NULL, false, false, &err) == 0);
	CHECK(file_read_at(&arena, scratch.fd, "log", 1 << 16, &text, &len) == 0);
	CHECK(strcspn(text, "\n") == len - 1); /* one line */
	CHECK(json_parse(&arena, "log", text, len, &root, &err) == 0);
	CHECK(root->count == 3);
	CHECK_STR(json_member(root, "level")->text, "warning");
	CHECK_STR(json_member(root, "msg")->text, "a \"quoted\"\nwarning \xef\xbf\xbd");
	CHECK(json_member(root, "time")->len == 20 && json_member(root, "time")->text[19] == 'Z');
}

static void log_text_line_is_runcs(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err;
	char *text;

	log_to(&scratch, "log", false, true);
	log_debug("asked for");
	CHECK(log_open(NULL, false, false, &err) == 0);
	CHECK(file_read_at(&arena, scratch.fd, "log", 1 << 16, &text, NULL) == 0);
	CHECK(str_starts(text, "time=\"2"));
	CHECK_STR(strchr(text, ' '), " level=debug msg=\"asked for\"\n");
}

static void log_lines_are_appended(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err;
	char *text;

	scratch_file(&scratch, "log", "before\n", 7);
	log_to(&scratch, "log", true, false);
	log_warn("after");
	CHECK(log_open(NULL, false, false, &err) == 0);
	CHECK(file_read_at(&arena, scratch.fd, "log", 1 << 16, &text, NULL) == 0);
	CHECK(str_starts(text, "before\n{\"level\":\"warning\",\"msg\":\"after\""));
}

static void log_error_goes_to_the_file_and_to_standard_error(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err;
	struct rb_err unused;
	char *text;

	err_set(&err, RB_BUNDLE, ENOENT, "cannot open");
	err_fix(&err, "do");
	log_to(&scratch, "log", true, false);
	CHECK_STR(logged_error(&arena, &err), "runbuild: error: cannot open: No such file or "
					      "directory; fix: do [RB0100]\n");
	CHECK(log_open(NULL, false, false, &unused) == 0);
	CHECK(file_read_at(&arena, scratch.fd, "log", 1 << 16, &text, NULL) == 0);
	CHECK(str_starts(text, "{\"level\":\"error\",\"msg\":\"cannot open: No such file or "
			       "directory; fix: do [RB0100]\",\"time\":\""));
}

static void log_file_that_is_a_fifo_without_a_reader_is_an_error(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err = {0};

	CHECK(mkfifoat(scratch.fd, "fifo", 0600) == 0);
	CHECK(log_open(arena_printf(&arena, "%s/fifo", scratch.path), true, false, &err) == -ENXIO);
	CHECK(err.code == RB_LOG_FILE && err.fix[0]);
	CHECK(log_open(arena_printf(&arena, "%s/no/such", scratch.path), true, false, &err) ==
	      -ENOENT);
}

/* ---- messages with a descriptor ----------------------------------------------------------- */

static int lowest_free(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	close(fd);
	return fd;
}

static void send_descriptors(int sock, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = {.bytes = {0}};
	char word[] = "word";
	struct iovec iov = {.iov_base = word, .iov_len = 4};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(n * sizeof(int))};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	CHECK(sendmsg(sock, &message, 0) == 4);
}

static void fd_message_takes_one_descriptor_and_keeps_no_other(void)
{
	const int sent[] = {0, 1, 2, 0};
	char text[8];
	int pair[2];
	int fd = -1;
	int lowest;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	lowest = lowest_free();
	send_descriptors(pair[0], sent, 1);
	CHECK(fd_message_receive(pair[1], text, 4, &fd) == 0 && fd == lowest);
	CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) && memcmp(text, "word", 4) == 0);
	fd_close(&fd);
	for (size_t n = 2; n <= ARRAY_LEN(sent); n++) {
		send_descriptors(pair[0], sent, n);
		CHECK(fd_message_take(pair[1], text, sizeof(text), 0, &fd) == -EPROTO);
		CHECK(fd == -1 && lowest_free() == lowest);
	}
	/* longer and shorter than expected; nothing there; the other side gone */
	for (size_t len = 3; len <= 5; len += 2) {
		send_descriptors(pair[0], sent, 1);
		CHECK(fd_message_receive(pair[1], text, len, &fd) == -EPROTO);
		CHECK(fd == -1 && lowest_free() == lowest);
	}
	CHECK(fd_message_take(pair[1], text, 4, MSG_DONTWAIT, &fd) == -EAGAIN);
	close(pair[0]);
	CHECK(fd_message_take(pair[1], text, 4, 0, &fd) == 0);
	CHECK(fd_message_receive(pair[1], text, 4, &fd) == -EPIPE);
	close(pair[1]);
}

TAP_MAIN(TEST(file_of_the_largest_size_is_read),
	 TEST(file_of_huge_sparse_size_is_refused_before_reading),
	 TEST(file_that_is_a_fifo_does_not_block), TEST(file_that_is_a_link_is_not_followed),
	 TEST(file_that_is_no_regular_file_is_refused),
	 TEST(file_of_proc_is_read_though_its_size_is_zero),
	 TEST(file_replace_leaves_the_old_or_the_new_file),
	 TEST(fd_copies_are_closed_on_exec_and_high_enough),
	 TEST(log_json_line_is_what_containerd_reads), TEST(log_text_line_is_runcs),
	 TEST(log_lines_are_appended), TEST(log_error_goes_to_the_file_and_to_standard_error),
	 TEST(log_file_that_is_a_fifo_without_a_reader_is_an_error),
	 TEST(fd_message_takes_one_descriptor_and_keeps_no_other))
