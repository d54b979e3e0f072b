/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema of requests, generated from src/worker/schema.json. */
#include "worker/worker.h"

const char worker_schema[] =
#include "worker_schema.inc"
	;
