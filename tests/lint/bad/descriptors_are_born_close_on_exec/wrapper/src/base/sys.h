/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A sample that breaks one rule of the lint and no other. */
static inline int sys_fsopen(const char *type)
{
	return SYS_CALL(SYS_fsopen, type, 0);
}
