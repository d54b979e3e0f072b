/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runbuild-subids: prints a user's subordinate ids as libsubid knows them, in the form of
 * subuid(5). A program of its own, because the library loads a module for the database that
 * nsswitch.conf(5) names, which a static program cannot; started by the launcher as the ordinary
 * user, before any namespace exists. It is built only where the library is found.
 *
 *	runbuild-subids uid|gid USER
 *
 * Status: 0 the answer is complete, also an empty one; 1 the database could not be asked.
 */
#include <shadow/subid.h>
#include <stdlib.h>
#include "base/base.h"

int main(int argc, char **argv)
{
	bool gid = argc == 3 && str_eq(argv[1], "gid");
	struct subid_range *ranges = NULL;
	int n;

	if (argc != 3 || (!gid && !str_eq(argv[1], "uid"))) {
		fputs("usage: runbuild-subids uid|gid USER\n", stderr);
		return 2;
	}
	if (!subid_init("runbuild-subids", stderr))
		return 1;
	n = gid ? subid_get_gid_ranges(argv[2], &ranges) : subid_get_uid_ranges(argv[2], &ranges);
	for (int i = 0; i < n; i++)
		printf("%s:%lu:%lu\n", argv[2], ranges[i].start, ranges[i].count);
	free(ranges);
	return n < 0 || fflush(stdout) != 0 ? 1 : 0;
}
