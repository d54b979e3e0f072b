/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
int a[] = {RB_USAGE, RB_FORGOTTEN, RB_NO_FIX};
