/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database of subordinate ids, as nsswitch.conf(5) may name one: libsubid and newuidmap(1) load
 * it as libsubid_NAME.so. Everybody has 700000 and 100 more uids, 800000 and 200 more gids.
 */
#include <shadow/subid.h>
#include <stdlib.h>

static const struct subid_range uids = {700000, 100};
static const struct subid_range gids = {800000, 200};

enum subid_status shadow_subid_has_range(const char *owner, unsigned long start,
					 unsigned long count, enum subid_type type, bool *result);
enum subid_status shadow_subid_list_owner_ranges(const char *owner, enum subid_type type,
						 struct subid_range **ranges, int *count);
enum subid_status shadow_subid_find_subid_owners(unsigned long id, enum subid_type type,
						 uid_t **owners, int *count);

static const struct subid_range *range_of(enum subid_type type)
{
	return type == ID_TYPE_UID ? &uids : &gids;
}

enum subid_status shadow_subid_has_range(const char *owner, unsigned long start,
					 unsigned long count, enum subid_type type, bool *result)
{
	const struct subid_range *range = range_of(type);

	(void)owner;
	*result = start >= range->start && start + count <= range->start + range->count;
	return SUBID_STATUS_SUCCESS;
}

enum subid_status shadow_subid_list_owner_ranges(const char *owner, enum subid_type type,
						 struct subid_range **ranges, int *count)
{
	(void)owner;
	*ranges = malloc(sizeof(**ranges));
	if (!*ranges)
		return SUBID_STATUS_ERROR;
	**ranges = *range_of(type);
	*count = 1;
	return SUBID_STATUS_SUCCESS;
}

enum subid_status shadow_subid_find_subid_owners(unsigned long id, enum subid_type type,
						 uid_t **owners, int *count)
{
	(void)id;
	(void)type;
	(void)owners;
	*count = 0;
	return SUBID_STATUS_SUCCESS;
}
