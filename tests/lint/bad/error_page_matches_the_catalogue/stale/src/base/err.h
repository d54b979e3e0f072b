/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A sample that breaks one rule of the lint and no other. */
	X(RB_USAGE, 1) \
