/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Every bound on foreign input, in one place. A bound is part of the interface: exceeding it
 * gives one clear error that names it, never a truncated value.
 */

#define LIMIT_CONFIG_BYTES   (4u << 20) /* config.json, process.json */
#define LIMIT_STATE_BYTES    (5u << 20) /* a state record, which embeds the configuration */
#define LIMIT_JSON_DEPTH     64u        /* nested arrays and objects */
#define LIMIT_JSON_NODES     (1u << 18) /* values in one document */
#define LIMIT_ID_BYTES       255u       /* a container id */
#define LIMIT_PATH_BYTES     4096u      /* a path, with its end mark: the kernel's PATH_MAX */
#define LIMIT_MOUNTS         4096u
#define LIMIT_HOST_TREES     64u /* mount sources that the parent opens */
#define LIMIT_DEVICES        1024u
#define LIMIT_HOOKS          64u     /* of one kind */
#define LIMIT_HOOK_STRINGS   512u    /* arguments, and variables, of one hook */
#define LIMIT_GROUPS         65536u  /* supplementary groups: the kernel's NGROUPS_MAX */
#define LIMIT_IDMAP_EXTENTS  340u    /* user_namespaces(7): lines of one map */
#define LIMIT_IDMAP_BYTES    4095u   /* user_namespaces(7): less than a page */
#define LIMIT_STRING_BYTES   131072u /* one argument or variable: the kernel's MAX_ARG_STRLEN */
#define LIMIT_STEP_MOUNTS    256u
#define LIMIT_STEP_ID        64u
#define LIMIT_LANDLOCK_PATHS 256u
#define LIMIT_STEP_PORTS     64u     /* published by one step */
#define LIMIT_WINDOW         262144u /* bytes of a stream before its acknowledgement */
#define LIMIT_MESSAGE_FDS    16u     /* descriptors with one message of the worker's protocol */
#define LIMIT_RECORDS        4096u
#define LIMIT_RECORDS_KEPT   20u          /* of steps, after a new one or a prune */
#define LIMIT_RECORDS_BYTES  (1u << 30)   /* and what all of them take on disk */
#define LIMIT_RECORD_UPPER   (256u << 20) /* of a step's upper directory, to be kept */
#define LIMIT_BPF_INSNS      4096u        /* seccomp(2): BPF_MAXINSNS */
#define LIMIT_SECCOMP_RULES  4096u
#define LIMIT_PASSWD_BYTES   (1u << 20) /* /etc/passwd, ours and an image's */
#define LIMIT_SUBID_BYTES    (1u << 20) /* /etc/subuid */
#define LIMIT_RESOLV_BYTES   65536u
#define LIMIT_CGROUP_NOTE    262144u /* which groups were made: a line of a path per hierarchy */
#define LIMIT_SUBID_RANGES   4096u
#define LIMIT_TREE_DEPTH     64u   /* directories below a tmpcopyup source */
#define LIMIT_SYMLINKS       40u   /* path_resolution(7) */
#define LIMIT_CHILDREN       256u  /* of the launcher, before it is the launcher */
#define LIMIT_HELD_FDS       32u   /* locks that a monitor keeps for one container */
#define LIMIT_SNAPSHOTS      16u   /* of one container: two locks each */
#define LIMIT_LAYERS         500u  /* overlayfs: OVL_MAX_STACK */
#define LIMIT_UPPER_DEPTH    1024u /* directories below an upper one */
#define LIMIT_PRESERVED_FDS  1024u
#define LIMIT_API_BYTES      16384u /* a request on api.sock */
#define LIMIT_API_CLIENTS    8
#define LIMIT_HOST_ADDRESSES 1024u  /* of one network namespace, IPv4 */
#define LIMIT_HOST_V6        128u   /* the same, IPv6, of more than the link */
#define LIMIT_POOL           64u    /* networks kept ready for steps */
#define LIMIT_PORTS          256u   /* published at once */
#define LIMIT_CONNECTIONS    16384u /* open at once, of all published ports */
#define LIMIT_SESSIONS       1024u  /* udp: clients of one port */
#define LIMIT_CRIU_FDS       16u    /* handed to criu beside its socket */
#define LIMIT_HELPER_OUTPUT  65536u
#define LIMIT_HELPER_SECONDS 30u /* newuidmap, newgidmap, slirp4netns start-up */
