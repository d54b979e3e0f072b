/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
/* A comment that comes too late to be the theory of operation. */
int base_x;
