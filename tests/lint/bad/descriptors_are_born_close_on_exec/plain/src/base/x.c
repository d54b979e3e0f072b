/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
int base_x(void)
{
	return openat(-100, "x",
		      O_RDONLY);
}

int base_y(int fd)
{
	return fcntl(fd, F_DUPFD, 3);
}
