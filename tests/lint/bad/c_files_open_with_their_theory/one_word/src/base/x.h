/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Helpers. */
int base_x;
