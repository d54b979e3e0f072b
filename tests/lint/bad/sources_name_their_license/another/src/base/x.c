/* SPDX-License-Identifier: GPL-2.0 */
/* A sample that breaks one rule of the lint and no other. */
