/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * slirp4netns(1) for one network namespace: start it, wait until it is ready, end it. Used by the
 * launcher for its own network, and for those of single steps. Whoever calls slirp_spawn() is its
 * parent, and it dies with the caller.
 */
#include "base/arena.h"
#include "base/err.h"

struct slirp_options {
	const char *helper; /* absolute path */
	uint32_t mtu;       /* 0: 65520 */
	uint32_t network;   /* IPv4, host byte order; 0: 10.0.2.0/24, prefix is ignored */
	unsigned prefix;
	const char *ifname; /* NULL: tap0 */
	bool configure;     /* it makes the tap, with addresses and routes, and raises loopback */
	bool ipv6;
	bool allow_host_loopback;
	bool no_dns; /* it answers no questions */
	bool no_sandbox, no_seccomp;
	pid_t target;           /* a process in the namespace; or */
	int netns, userns;      /* the namespace, and the user namespace to enter first; -1: none */
	int dir;                /* its working directory, -1: ours */
	const char *api_socket; /* below dir, or NULL */
	bool same_group;        /* it stays in our process group */
	bool held;              /* it reads nothing from its tap before slirp_release() */
};

enum { NET_SAID_BYTES = 256 };

/* slirp4netns(1): the number in its network of whoever is in it. */
enum { SLIRP_GUEST = 100 };

struct slirp {
	int pidfd;                 /* -1: not running */
	int exit_fd;               /* its end of file ends it */
	int ready;                 /* "1" comes here */
	size_t held;               /* bytes that are in its way there */
	int output;                /* its standard error */
	char said[NET_SAID_BYTES]; /* the end of what it said */
};

void slirp_init(struct slirp *slirp);

/* Starts it; nothing is waited for. slirp is initialised whatever happens. -errno. */
int slirp_spawn(struct slirp *slirp, struct arena *arena, const struct slirp_options *options);

/* Lets one go on that was started with `held`. -errno. */
int slirp_release(struct slirp *slirp);

/* Waits at most so long for it to be ready. -ETIMEDOUT; -EPIPE: it has ended. */
int slirp_await(const struct slirp *slirp, int timeout_ms);

/* Takes what it has written to standard error, and keeps the end of it. */
void slirp_listen(struct slirp *slirp);
void net_output_listen(int *output, const char *name, char said[NET_SAID_BYTES]);

/*
 * Words the end of one that was not ready (rc of slirp_await()), with its last words, and ends it.
 * Returns -EPIPE. Errors: RB_SLIRP_FAILED, without a remedy.
 */
int slirp_failed(struct slirp *slirp, int rc, int timeout_ms, struct rb_err *err);

/*
 * Kills it and does not wait. Its tap is made persistent first, and so goes with the namespace, when
 * the kernel has time for it: whoever closes the last descriptor of one that is not waits for that.
 */
void slirp_kill(struct slirp *slirp);

/* Kills it, waits for it and closes everything. */
void slirp_end(struct slirp *slirp);

/* The text of a 32-bit address, host byte order, into buf. Returns buf. */
const char *slirp_address_text(uint32_t address, char buf[16]);

/*
 * Is what slirp4netns needs here? *ret_helper: its path, in the arena. `otherwise` ends the remedy,
 * ", or --net=host". Errors: RB_SLIRP_MISSING, RB_TUN.
 */
int slirp_find(struct arena *arena, const char *otherwise, const char **ret_helper,
	       struct rb_err *err);
int net_tun_check(struct rb_err *err);
