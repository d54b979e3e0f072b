/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A sample that breaks one rule of the lint and no other. */
#define RB_CODES(X)                                                                                \
	X(RB_OK, 0)                                                                                \
	X(RB_USAGE, 1)                                                                             \
	X(RB_FORGOTTEN, 2)                                                                         \
	X(RB_NO_FIX, 3)                                                                            \
	X(RB_UNUSED, 3)
