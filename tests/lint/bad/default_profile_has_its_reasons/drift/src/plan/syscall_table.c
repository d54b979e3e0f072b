/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
{"read", {0}, 0},
{"write", {1}, 0},
{"mount", {2}, 0},
{"brand_new", {3}, 0},
