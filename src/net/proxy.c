/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxies on the loopback interface: curl(1), ENVIRONMENT. BuildKit hands these variables down to
 * the steps, in whose networks there is nobody on that address.
 */
#include <arpa/inet.h>
#include "base/env.h"
#include "net/proxy.h"

bool proxy_host_is_loopback(const char *host, size_t len)
{
	char text[64];
	struct in6_addr six;

	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	if (str_eq(text, "localhost") || str_eq(text, "ip6-localhost"))
		return true;
	return (str_starts(text, "127.") && strspn(text, "0123456789.") == len) ||
	       (inet_pton(AF_INET6, text, &six) == 1 &&
		memcmp(&six, &in6addr_loopback, sizeof(six)) == 0);
}

/* scheme://user:password@HOST:PORT/ -> HOST. Nothing else of the value is ever shown. */
static bool proxy_is_loopback(const char *value)
{
	const char *host = strstr(value, "://") ? strstr(value, "://") + 3 : value;
	size_t len = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', len);

	if (at) {
		len -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	if (*host == '[')
		return proxy_host_is_loopback(host + 1, strcspn(host + 1, "]"));
	for (size_t i = 0; i < len; i++)
		if (host[i] == ':')
			len = i;
	return proxy_host_is_loopback(host, len);
}

const char *proxy_on_loopback(const char **ret_set)
{
	const struct {
		const char *name, *value;
	} variables[] = {
		{"HTTP_PROXY", env_get("HTTP_PROXY")},   {"HTTPS_PROXY", env_get("HTTPS_PROXY")},
		{"ALL_PROXY", env_get("ALL_PROXY")},     {"http_proxy", env_get("http_proxy")},
		{"https_proxy", env_get("https_proxy")}, {"all_proxy", env_get("all_proxy")},
	};

	*ret_set = NULL;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		if (!variables[i].value)
			continue;
		*ret_set = variables[i].name;
		if (proxy_is_loopback(variables[i].value))
			return variables[i].name;
	}
	return NULL;
}
