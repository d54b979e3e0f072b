/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns(1), API SOCKET: one request per connection, the end of it by shutdown(2), and one
 * answer. Runs in the parent of slirp4netns.
 */
#include <sys/un.h>
#include "base/sys.h"
#include "net/slirp.h"
#include "net/slirp_api.h"

int slirp_api_ask(int dir, const char *name, const struct strbuf *request, int *ret_sock)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_STREAM, 0);

	if (sock < 0 || request->failed)
		return sock < 0 ? sock : -ENOMEM;
	/* through our descriptor: a path could be too long for the address */
	if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir,
		     name) >= (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(sock, request->text, request->len, MSG_NOSIGNAL) < 0 ||
	    shutdown(sock, SHUT_WR) < 0)
		return -errno;
	*ret_sock = fd_take(&sock);
	return 0;
}

int slirp_api_result(struct arena *arena, const char *reply, size_t len,
		     const struct json_node **ret_result, struct rb_err *err)
{
	const struct json_node *root;
	const struct json_node *desc;
	int rc;

	if (len == 0)
		return slirp_api_failed(-EIO, err);
	rc = json_parse(arena, "slirp4netns's answer", reply, len, &root, err);
	if (rc < 0)
		return rc;
	desc = json_member(json_member(root, "error"), "desc");
	if (desc) {
		err_set(err, RB_PORT, 0, "slirp4netns refuses: %.200s",
			desc->type == JSON_STRING ? desc->text : "no reason");
		err_fix(err, "use another port");
		return -EINVAL;
	}
	*ret_result = json_member(root, "return");
	return 0;
}

int slirp_api_failed(int rc, struct rb_err *err)
{
	return err_set(err, RB_PORT, -rc, "slirp4netns's API does not answer");
}

void slirp_api_add_port(struct strbuf *request, const struct port_spec *spec, uint32_t guest)
{
	char inside[16];
	char host[16];

	strbuf_printf(request,
		      "{\"execute\":\"add_hostfwd\",\"arguments\":{\"proto\":\"%s\",\"host_addr\":"
		      "\"%s\",\"host_port\":%u,\"guest_addr\":\"%s\",\"guest_port\":%u}}",
		      spec->udp ? "udp" : "tcp", slirp_address_text(spec->parent_ip, host),
		      spec->parent_port,
		      slirp_address_text(spec->child_ip ? spec->child_ip : guest, inside),
		      spec->child_port);
}
