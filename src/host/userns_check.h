/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Why this host refuses namespaces. Reads files below /proc, changes nothing. */
#include "base/err.h"

/*
 * Words the failure of a clone or unshare: which of the many causes of EPERM and ENOSPC it is on
 * this host, and the remedy. user says whether a user namespace was among what was asked for.
 * Sets *err and returns -errnum.
 */
int userns_explain(int errnum, bool user, struct rb_err *err);

/*
 * Words why a process in its new user namespace is refused what only privilege in there is for,
 * when it is known: AppArmor, which lets the namespace be made and takes its capabilities away, or
 * a filter. Called in that process. False: it is not known, *err is as it was.
 */
bool userns_explain_inside(int errnum, struct rb_err *err);

/* The length of NAME in an AppArmor label "NAME (enforce)", 0 when it confines nothing. */
size_t userns_label_confines(const char *label);

/* The number in a file below /proc/sys, or -1: there is none. */
int64_t sysctl_number(const char *path);
