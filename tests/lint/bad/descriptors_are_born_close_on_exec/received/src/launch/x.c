/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
int launch_x(int sock, struct msghdr *m)
{
	/* with descriptors, and without MSG_CMSG_CLOEXEC */
	return (int)recvmsg(sock, m, 0);
}
