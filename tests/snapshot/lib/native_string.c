/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts layers in the way of kernels before 6.5, whatever kernel this is: one string for
 * mount(2). Usage: native_string UPPER WORK LOWER...; "-" for no upper. Prints what /d/f of the
 * mount holds, or the error.
 */
#include "snapshot/snap_private.h"

int main(int argc, char **argv)
{
	struct arena arena = {0};
	struct rb_err err = {0};
	struct snap_spec spec = {
		.lower = (const char *const *)argv + 3,
		.n_lower = (size_t)argc - 3,
		.cache_dir = -1,
	};
	struct snap_layers layers;
	char text[64] = "";
	int mount = -1;
	int fd;

	if (strcmp(argv[1], "-") != 0) {
		spec.upper = argv[1];
		spec.work = argv[2];
	}
	if (layers_open(&arena, &spec, &layers, &err) < 0 ||
	    native_mount_string(&layers, &mount, &err) < 0) {
		printf("%s\n", err.what);
		return 1;
	}
	fd = openat(mount, "d/f", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return 1;
	printf("%s", text);
	return 0;
}
