/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one error a caller gets: what failed, why, what to do about it, and where in the input it
 * comes from. Fixed size and owned by the caller, so it cannot leak and needs no memory.
 */
#include "base/base.h"

/*
 * The stable public codes. A code is given once, names one cause and is never reused. The
 * catalogue in diag/ has the explanation that `runbuild explain RBnnnn` prints.
 */
#define RB_CODES(X)                                                                                \
	X(RB_OK, 0)                                                                                \
	/* usage */                                                                                \
	X(RB_USAGE, 1)                                                                             \
	X(RB_UNKNOWN_COMMAND, 2)                                                                   \
	X(RB_BAD_ID, 3)                                                                            \
	X(RB_BAD_SIGNAL, 4)                                                                        \
	X(RB_LOG_FILE, 5)                                                                          \
	X(RB_PID_FILE, 6)                                                                          \
	X(RB_INTERNAL, 7)                                                                          \
	X(RB_NO_MEMORY, 8)                                                                         \
	X(RB_UNSUPPORTED, 9)                                                                       \
	/* bundle and configuration */                                                             \
	X(RB_BUNDLE, 100)                                                                          \
	X(RB_CONFIG_FILE, 101)                                                                     \
	X(RB_CONFIG_SYNTAX, 102)                                                                   \
	X(RB_CONFIG_LIMIT, 103)                                                                    \
	X(RB_CONFIG_DUPLICATE, 104)                                                                \
	X(RB_CONFIG_TYPE, 105)                                                                     \
	X(RB_CONFIG_VALUE, 106)                                                                    \
	X(RB_CONFIG_UNKNOWN, 107)                                                                  \
	X(RB_CONFIG_MISSING, 108)                                                                  \
	X(RB_CONFIG_ID, 109)                                                                       \
	X(RB_CONFIG_CONFLICT, 110)                                                                 \
	X(RB_CONFIG_VERSION, 111)                                                                  \
	/* host: user namespaces and id maps */                                                    \
	X(RB_USERNS_DENIED, 200)                                                                   \
	X(RB_USERNS_LIMIT, 201)                                                                    \
	X(RB_NOT_ROOT, 202)                                                                        \
	X(RB_SUBID_NONE, 203)                                                                      \
	X(RB_SUBID_LINE, 204)                                                                      \
	X(RB_SUBID_ROOT, 205)                                                                      \
	X(RB_IDMAP_HELPER_MISSING, 206)                                                            \
	X(RB_IDMAP_HELPER_PRIVILEGE, 207)                                                          \
	X(RB_IDMAP_HELPER_FAILED, 208)                                                             \
	X(RB_IDMAP_WRITE, 209)                                                                     \
	X(RB_IDMAP_UNMAPPED, 210)                                                                  \
	X(RB_NO_NEW_PRIVS, 211)                                                                    \
	X(RB_IDMAP_LIMIT, 212)                                                                     \
	X(RB_SUBID_SYMLINK, 213)                                                                   \
	X(RB_USERNS_CHROOT, 214)                                                                   \
	X(RB_USERNS_SECCOMP, 215)                                                                  \
	X(RB_IDMAP_SETUID_BOUND, 216)                                                              \
	X(RB_NO_PASSWD, 217)                                                                       \
	X(RB_SUBID_FEW, 218)                                                                       \
	X(RB_SUBID_SHARED, 219)                                                                    \
	X(RB_SUBID_OWN, 220)                                                                       \
	X(RB_SUBID_OVERLAP, 221)                                                                   \
	X(RB_USERNS_APPARMOR, 222)                                                                 \
	/* host: the user's session */                                                             \
	X(RB_RUNTIME_DIR, 250)                                                                     \
	X(RB_LOGIN, 251)                                                                           \
	X(RB_RESOLVER, 252)                                                                        \
	X(RB_PROXY, 253)                                                                           \
	X(RB_TRIAL_TIME, 254)                                                                      \
	/* setting the sandbox up */                                                               \
	X(RB_KERNEL, 300)                                                                          \
	X(RB_NAMESPACE, 301)                                                                       \
	X(RB_ROOTFS, 302)                                                                          \
	X(RB_MOUNT, 303)                                                                           \
	X(RB_MOUNT_SOURCE, 304)                                                                    \
	X(RB_MOUNT_TARGET, 305)                                                                    \
	X(RB_PROC_REFUSED, 306)                                                                    \
	X(RB_DEVICE, 307)                                                                          \
	X(RB_CREDENTIALS, 308)                                                                     \
	X(RB_SECCOMP, 309)                                                                         \
	X(RB_SYSCTL, 310)                                                                          \
	X(RB_RLIMIT, 311)                                                                          \
	X(RB_TERMINAL, 312)                                                                        \
	X(RB_HOOK, 313)                                                                            \
	X(RB_CGROUP, 314)                                                                          \
	X(RB_SETUP_KILLED, 315)                                                                    \
	X(RB_SETUP_STEP, 316)                                                                      \
	X(RB_LSM, 317)                                                                             \
	X(RB_CGROUP_CONTROLLER, 318)                                                               \
	X(RB_SYSTEMD, 319)                                                                         \
	X(RB_NETDEV, 320)                                                                          \
	X(RB_SCHEDULING, 321)                                                                      \
	X(RB_RDT, 322)                                                                             \
	X(RB_CRIU, 323)                                                                            \
	X(RB_LANDLOCK, 324)                                                                        \
	X(RB_LANDLOCK_PATH, 325)                                                                   \
	/* starting the program */                                                                 \
	X(RB_EXEC_NOT_FOUND, 400)                                                                  \
	X(RB_EXEC_PERMISSION, 401)                                                                 \
	X(RB_EXEC_FORMAT, 402)                                                                     \
	X(RB_EXEC_FAILED, 403)                                                                     \
	X(RB_CWD, 404)                                                                             \
	X(RB_EXEC_SIGNAL, 405)                                                                     \
	/* containers and their state */                                                           \
	X(RB_STATE_ROOT, 500)                                                                      \
	X(RB_STATE_MISSING, 501)                                                                   \
	X(RB_STATE_EXISTS, 502)                                                                    \
	X(RB_STATE_DAMAGED, 503)                                                                   \
	X(RB_STATE_WRITE, 504)                                                                     \
	X(RB_NOT_RUNNING, 505)                                                                     \
	X(RB_STILL_RUNNING, 506)                                                                   \
	X(RB_STATE_WRONG, 507)                                                                     \
	X(RB_CONSOLE_SOCKET, 508)                                                                  \
	/* helpers of the launcher */                                                              \
	X(RB_SLIRP_MISSING, 600)                                                                   \
	X(RB_SLIRP_FAILED, 601)                                                                    \
	X(RB_TUN, 602)                                                                             \
	X(RB_COPY_UP, 603)                                                                         \
	X(RB_RESOLV_CONF, 604)                                                                     \
	X(RB_STATE_DIR, 605)                                                                       \
	X(RB_NETLINK, 606)                                                                         \
	X(RB_PORT, 607)                                                                            \
	X(RB_PASTA_MISSING, 608)                                                                   \
	X(RB_PASTA_FAILED, 609)                                                                    \
	X(RB_NETLINK_PROGRAM, 610)                                                                 \
	X(RB_LAUNCHER_NONE, 611)                                                                   \
	X(RB_DAEMON, 612)                                                                          \
	X(RB_STEP_NET, 613)                                                                        \
	X(RB_NET_FILTER, 614)                                                                      \
	X(RB_NET_OVERLAP, 615)                                                                     \
	/* snapshots */                                                                            \
	X(RB_SNAP_LAYER, 700)                                                                      \
	X(RB_SNAP_UPPER, 701)                                                                      \
	X(RB_SNAP_LOCKED, 702)                                                                     \
	X(RB_SNAP_DRIVER, 703)                                                                     \
	X(RB_SNAP_MOUNT, 704)                                                                      \
	X(RB_SNAP_FUSE, 705)                                                                       \
	X(RB_SNAP_DAEMON, 706)                                                                     \
	X(RB_SNAP_MIXED, 707)                                                                      \
	X(RB_SNAP_OPTION, 708)                                                                     \
	/* steps and the worker */                                                                 \
	X(RB_STEP_MEMBER, 800)                                                                     \
	X(RB_STEP_FDS, 801)                                                                        \
	X(RB_STEP_USER, 802)                                                                       \
	X(RB_STEP_CANCELLED, 803)                                                                  \
	X(RB_WORKER_LISTEN, 804)                                                                   \
	X(RB_WORKER_CONNECT, 805)                                                                  \
	X(RB_RECORD, 806)

enum rb_code {
#define X(name, number) name = (number),
	RB_CODES(X)
#undef X
};

struct rb_err {
	enum rb_code code;
	int errnum;       /* positive errno, 0 when no system call failed */
	int status;       /* the command's exit status; 0: the usual one of its verb */
	char what[512];   /* one sentence without a full stop; the errno text is included */
	char fix[320];    /* what the user can do; empty when there is nothing to say */
	char origin[160]; /* JSON pointer into the configuration; empty when there is none */
};

/*
 * Fill *err: `what` from the format, and the errno text after a colon when errnum is not 0.
 * Clears fix and origin. err may be NULL. Returns -errnum, or -EINVAL when errnum is 0, so that
 * `return err_set(...)` is the usual form.
 */
int err_set(struct rb_err *err, enum rb_code code, int errnum, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* Add the remedy. Does nothing when err is NULL. */
void err_fix(struct rb_err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put "CONTEXT: " in front of `what`, once per level that knows something more. */
void err_context(struct rb_err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Note the element of the configuration that the error is about; NULL or "" clears it. */
void err_origin(struct rb_err *err, const char *pointer);

/*
 * The whole error as one line without a line end:
 *   WHAT (at /json/pointer); fix: FIX [RB0123]
 * Returns buf.
 */
const char *err_line(const struct rb_err *err, char *buf, size_t size);
