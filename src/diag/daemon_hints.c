/* SPDX-License-Identifier: Apache-2.0 */
/* buildkitd's start-up failures. Pure data; the texts are those of BuildKit 0.11 to 0.32. */
#include "base/base.h"
#include "diag/daemon_hints.h"

static const struct {
	const char *pattern;
	const char *fix;
} hints[] = {
	{"another instance running",
	 "end the other buildkitd, or give this one a store of its own: BUILDKITD_FLAGS=--root=DIR"},
	{"rootless mode requires to be executed as the mapped root",
	 "start buildkitd inside the launcher: runbuild rootless -- buildkitd"},
	{"mkdir /run/buildkit: permission denied",
	 "set XDG_RUNTIME_DIR to a directory of yours: sudo loginctl enable-linger USER, or log in "
	 "with machinectl shell USER@"},
	{"mkdir /run/user/",
	 "the directory of XDG_RUNTIME_DIR does not exist: sudo loginctl enable-linger USER"},
	{"failed to parse config",
	 "correct ~/.config/buildkit/buildkitd.toml; 'debug' takes true or false, the level of the "
	 "log is [log] level"},
	{"can't enable NoProcessSandbox without Rootless",
	 "leave --oci-worker-no-process-sandbox out; runbuild does not need it"},
	{"no worker found, rebuild the buildkit daemon",
	 "the runtime was not found: --oci-worker-binary names it"},
	{"failed to find runc binary", "the runtime was not found: --oci-worker-binary names it"},
	{"overlayfs: is not supported",
	 "put the store on ext4, xfs or tmpfs, or use BUILDKITD_FLAGS=--oci-worker-snapshotter=native"},
	{"no space left on device", "free some space where the store is"},
	{"flag provided but not defined", "correct BUILDKITD_FLAGS"},
};

const char *daemon_hint(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (strstr(text, hints[i].pattern))
			return hints[i].fix;
	return NULL;
}
