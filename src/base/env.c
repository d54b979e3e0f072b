/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the environment; see env.h. */
#include <assert.h>
#include "base/env.h"

static const char *const env_names[] = {
	"XDG_RUNTIME_DIR",
	"XDG_STATE_HOME",
	"HOME",
	"USER",
	"PATH",
	"TMPDIR",
	"LISTEN_FDS",
	"LISTEN_PID",
	"NOTIFY_SOCKET",
	"ROOTLESSKIT_STATE_DIR",
	"SHELL",
	"BUILDKITD",
	"BUILDKITD_FLAGS",
	"RUNBUILD_PIDNS",
	"RUNBUILD_STEP_NET",
	"RUNBUILD_STEP_NET_CIDR",
	"RUNBUILD_STEP_NET_POOL",
	"RUNBUILD_REPORT",
	"RUNBUILD_LIBEXECDIR",
	"XDG_DATA_HOME",
	"HTTP_PROXY",
	"HTTPS_PROXY",
	"ALL_PROXY",
	"http_proxy",
	"https_proxy",
	"all_proxy",
};

const char *env_get(const char *name)
{
	const char *value;
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(env_names); i++)
		known |= str_eq(name, env_names[i]);
	assert(known);
	value = secure_getenv(name);
	return value && value[0] ? value : NULL;
}
