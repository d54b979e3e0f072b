/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step that does not want to end: no parent-death signal, every signal ignored and blocked,
 * sessions of its own, orphans, a stopped process, standard output held open by all of them.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static void cling(void)
{
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	for (int sig = 1; sig < 65; sig++)
		signal(sig, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	(void)setsid();
}

int main(void)
{
	cling();
	for (int i = 0; i < 4; i++) {
		if (fork() != 0)
			continue;
		cling();
		/* an orphan of its own session; the last one is stopped */
		if (fork() != 0)
			_exit(0);
		cling();
		if (i == 3)
			raise(SIGSTOP);
		for (;;)
			pause();
	}
	puts("started");
	fflush(stdout);
	for (;;)
		pause();
}
