/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one place that reads our own environment. The lint refuses getenv() anywhere else, so this
 * list is complete; runbuild(1), ENVIRONMENT, documents it.
 */
#include "base/base.h"

/*
 * The value of a variable of the list in env.c, or NULL when it is unset, empty, or this process
 * runs with more privilege than its caller (secure_getenv(3)). The text is borrowed.
 */
const char *env_get(const char *name);
