/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#ifndef X_H
#define X_H
#endif
