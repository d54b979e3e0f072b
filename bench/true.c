// SPDX-License-Identifier: Apache-2.0
/*
 * The program that does nothing: the floor of every pass (fork+exec of a static program), and
 * the /bin/true inside the container, so that both sides execute the very same file.
 *
 * Built with -static -O2 and glibc: about 700 KB on disk, of which some 40 pages are ever
 * touched. A libc-free one would be 1 KB and about 80 us faster to execute on the machine where
 * this was written; that would be a harder yardstick for `state`, `kill` and `delete`, but one
 * that no real program can be held to. Changing how it is linked changes every "x true" column.
 */
int main(void)
{
	return 0;
}
