/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Copying between our standard streams and a container's terminal, without ever blocking. */
#include <poll.h>
#include <termios.h>
#include "base/base.h"

struct tty_buffer {
	char bytes[4096];
	size_t len;
};

struct tty_pump {
	int master;   /* borrowed */
	int input;    /* our standard input, -1 after its end */
	bool hung_up; /* nothing more will come from the terminal */
	bool restore;
	struct termios saved;
	struct tty_buffer in, out;
};

/* Makes our terminal raw and copies its size; end() undoes it. */
void tty_pump_begin(struct tty_pump *pump, int master);
void tty_pump_end(struct tty_pump *pump);

/* The three entries to wait for, and the copying after poll(2). */
void tty_pump_poll(const struct tty_pump *pump, struct pollfd fds[3]);
void tty_pump_copy(struct tty_pump *pump, const struct pollfd fds[3]);

/* After the program's end: what it has written so far. */
void tty_pump_drain(struct tty_pump *pump);

/* SIGWINCH: our terminal's size to the container's. */
int tty_pump_size(int master);
