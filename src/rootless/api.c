/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.sock, as rootlessctl, dockerd and nerdctl use it. Runs in the parent. The socket is for the
 * user alone; still, every size is bounded, a client that does not read or write gets nothing and
 * holds nobody up, and each connection serves one request.
 */
#include <arpa/inet.h>
#include <sys/un.h>
#include <strings.h>
#include "base/json.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "rootless/api.h"

struct request {
	const char *method, *path, *body; /* the text is cut into these */
	size_t body_len;
};

struct reply {
	unsigned status;
	struct strbuf body;
};

int api_open(struct api *api, struct arena *arena, int dir, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	mode_t mask = sys_umask(0177);
	int rc = 0;

	/* through our descriptor: a path could be too long for the address */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/api.sock", dir);
	if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(sock, LIMIT_API_CLIENTS) < 0)
		rc = -errno;
	(void)sys_umask(mask);
	api->clients = arena_array(arena, LIMIT_API_CLIENTS, sizeof(*api->clients));
	if (rc < 0 || !api->clients) {
		err_set(err, RB_STATE_DIR, rc < 0 ? -rc : ENOMEM, "cannot make api.sock in '%s'",
			api->state_dir);
		err_fix(err, "name a --state-dir on a local file system");
		return -EIO;
	}
	for (size_t i = 0; i < LIMIT_API_CLIENTS; i++)
		api->clients[i].fd = -1;
	api->listener = fd_take(&sock);
	return 0;
}

void api_close(struct api *api)
{
	for (size_t i = 0; api->clients && i < LIMIT_API_CLIENTS; i++)
		fd_close(&api->clients[i].fd);
	fd_close(&api->listener);
}

static void reply_error(struct reply *reply, unsigned status, const char *message)
{
	reply->status = status;
	strbuf_add(&reply->body, "{\"message\":");
	strbuf_add_json(&reply->body, message);
	strbuf_add(&reply->body, "}\n");
}

static void reply_err(struct reply *reply, unsigned status, const struct rb_err *err)
{
	char line[sizeof(*err) + 64];

	reply_error(reply, status, err_line(err, line, sizeof(line)));
}

static void add_network(struct strbuf *out, const struct net_options *options)
{
	struct net_addresses addresses = net_addresses(options);
	char dns[16];
	char guest[16];

	if (options->driver != NET_HOST && options->builtin_ports)
		strbuf_add(
			out,
			",\"portDriver\":{\"driver\":\"builtin\",\"protos\":[\"tcp\","
			"\"tcp4\",\"tcp6\",\"udp\",\"udp4\",\"udp6\"],\"disallowLoopbackChildIP\":false}");
	if (options->driver == NET_HOST || options->driver == NET_NONE)
		return;
	strbuf_printf(out,
		      ",\"networkDriver\":{\"driver\":\"%s\",\"dns\":[\"%s\"],\"childIP\":\"%s\","
		      "\"dynamicChildIP\":false}",
		      net_driver_name(options->driver), net_address_text(addresses.dns, dns),
		      net_address_text(addresses.guest, guest));
	if (options->driver == NET_SLIRP4NETNS && !options->builtin_ports)
		strbuf_add(out, ",\"portDriver\":{\"driver\":\"slirp4netns\",\"protos\":[\"tcp\","
				"\"tcp4\",\"udp\",\"udp4\"],\"disallowLoopbackChildIP\":true}");
}

static void get_info(const struct api *api, struct reply *reply)
{
	struct strbuf *out = &reply->body;

	strbuf_add(out, "{\"apiVersion\":\"1.1.1\",\"version\":\"2.3.5\",\"stateDir\":");
	strbuf_add_json(out, api->state_dir);
	strbuf_printf(out, ",\"childPID\":%d", (int)api->child);
	add_network(out, api->net->options);
	strbuf_add(out, "}\n");
}

static void add_port(struct strbuf *out, const struct port_entry *entry)
{
	const struct port_spec *spec = &entry->spec;
	char parent[INET6_ADDRSTRLEN];
	char child[INET6_ADDRSTRLEN] = "";

	if (spec->parent_is_v6)
		inet_ntop(AF_INET6, &spec->parent_v6, parent, sizeof(parent));
	else
		net_address_text(spec->parent_ip, parent);

	if (spec->child_is_v6)
		inet_ntop(AF_INET6, &spec->child_v6, child, sizeof(child));
	else if (spec->child_ip)
		net_address_text(spec->child_ip, child);
	strbuf_printf(out,
		      "{\"id\":%u,\"spec\":{\"proto\":\"%s\",\"parentIP\":\"%s\",\"parentPort\":%u,"
		      "\"childIP\":\"%s\",\"childPort\":%u}}",
		      entry->id, port_protocol(spec), parent, spec->parent_port, child,
		      spec->child_port);
}

static void get_ports(const struct api *api, struct reply *reply)
{
	strbuf_add_char(&reply->body, '[');
	for (size_t i = 0; i < api->net->ports.n; i++) {
		if (i > 0)
			strbuf_add_char(&reply->body, ',');
		add_port(&reply->body, &api->net->ports.v[i]);
	}
	strbuf_add(&reply->body, "]\n");
}

/* The string of a member, "" when it is missing. */
static const char *member_text(const struct json_node *object, const char *key)
{
	const struct json_node *node = json_member(object, key);

	return node && node->type == JSON_STRING ? node->text : "";
}

static uint32_t member_number(const struct json_node *object, const char *key)
{
	const struct json_node *node = json_member(object, key);
	uint32_t value = 0;

	return node && json_u32(node, &value, NULL) == 0 ? value : 0;
}

/* "[IP:]" of a member, IPv6 in brackets: the API has none. */
static void add_address(struct strbuf *out, const char *address)
{
	bool v6 = strchr(address, ':') != NULL;

	if (address[0])
		strbuf_printf(out, "%s%.45s%s:", v6 ? "[" : "", address, v6 ? "]" : "");
}

/* Through the text of --publish, so that there is one parser. "tcp4" is what dockerd says. */
static int spec_from_json(const struct json_node *root, struct port_spec *spec, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	add_address(&text, member_text(root, "parentIP"));
	strbuf_printf(&text, "%u:", member_number(root, "parentPort"));
	add_address(&text, member_text(root, "childIP"));
	strbuf_printf(&text, "%u/%.8s", member_number(root, "childPort"),
		      member_text(root, "proto"));
	return text.failed ? err_set(err, RB_NO_MEMORY, ENOMEM, "request")
			   : port_parse(text.text, spec, err);
}

static void post_port(struct api *api, const struct request *request, struct reply *reply)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct port_spec spec;
	struct rb_err err = {0};

	if (json_parse(&arena, "the request", request->body, request->body_len, &root, &err) < 0 ||
	    spec_from_json(root, &spec, &err) < 0) {
		reply_err(reply, 400, &err);
		return;
	}
	if (net_publish(api->net, &spec, NULL, &err) < 0) {
		reply_err(reply, 500, &err);
		return;
	}
	reply->status = 201;
	add_port(&reply->body, &api->net->ports.v[api->net->ports.n - 1]);
	strbuf_add_char(&reply->body, '\n');
}

static void delete_port(struct api *api, const char *id_text, struct reply *reply)
{
	struct rb_err err = {0};
	uint32_t id;

	if (num_parse_u32(id_text, &id) < 0)
		reply_error(reply, 400, "the id of a port is a number");
	else if (net_unpublish(api->net, id, &err) < 0)
		reply_err(reply, 500, &err);
}

static void answer(struct api *api, const struct request *request, struct reply *reply)
{
	const char *path = request->path;
	bool get = str_eq(request->method, "GET");

	reply->status = 200;
	if (get && str_eq(path, "/v1/info"))
		get_info(api, reply);
	else if (get && str_eq(path, "/v1/ports"))
		get_ports(api, reply);
	else if (str_eq(request->method, "POST") && str_eq(path, "/v1/ports"))
		post_port(api, request, reply);
	else if (str_eq(request->method, "DELETE") && str_starts(path, "/v1/ports/"))
		delete_port(api, path + strlen("/v1/ports/"), reply);
	else
		reply_error(reply, 404, "no such endpoint");
}

/* The value of Content-Length, 0 without one, SIZE_MAX when it is not a number within bounds. */
static size_t content_length(const char *headers)
{
	for (const char *line = strstr(headers, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		static const char name[] = "\r\nContent-Length:";
		uint64_t value;
		const char *at;

		if (strncasecmp(line, name, strlen(name)) != 0)
			continue;
		at = line + strlen(name);
		at += strspn(at, " \t");
		return num_parse_u64(at, strspn(at, "0123456789"), LIMIT_API_BYTES, &value) < 0
			       ? SIZE_MAX
			       : (size_t)value;
	}
	return 0;
}

/* 1: complete, 0: more has to come, -EINVAL. Cuts the text up. */
static int request_parse(struct api_client *client, struct request *ret_request)
{
	char *end = strstr(client->text, "\r\n\r\n");
	char *space;
	size_t length;

	if (!end)
		return client->len == LIMIT_API_BYTES ? -EINVAL : 0;
	end[2] = '\0';
	length = content_length(client->text);
	end[2] = '\r';
	if (length == SIZE_MAX)
		return -EINVAL;
	if (client->len - (size_t)(end + 4 - client->text) < length)
		return client->len == LIMIT_API_BYTES ? -EINVAL : 0;
	ret_request->body = end + 4;
	ret_request->body_len = length;
	client->text[strcspn(client->text, "\r\n")] = '\0';
	ret_request->method = client->text;
	space = strchr(client->text, ' ');
	if (!space)
		return -EINVAL;
	*space = '\0';
	ret_request->path = space + 1;
	space[1 + strcspn(space + 1, " ?")] = '\0';
	return 1;
}

static void reply_send(const struct api_client *client, const struct reply *reply)
{
	static const struct {
		unsigned status;
		const char *words;
	} known[] = {{200, "OK"},
		     {201, "Created"},
		     {400, "Bad Request"},
		     {404, "Not Found"},
		     {500, "Internal Server Error"}};
	CLEANUP_STRBUF struct strbuf text = {0};
	const char *words = "";

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == reply->status)
			words = known[i].words;
	strbuf_printf(&text,
		      "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		      "Connection: close\r\n\r\n",
		      reply->status, words, reply->body.len);
	if (reply->body.len)
		strbuf_add_bytes(&text, reply->body.text, reply->body.len);
	/* fits into the socket's buffer; a client that is gone does not want it */
	if (!text.failed)
		(void)send(client->fd, text.text, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void client_serve(struct api *api, struct api_client *client)
{
	struct request request = {0};
	struct reply reply = {0};
	ssize_t got = recv(client->fd, client->text + client->len, LIMIT_API_BYTES - client->len,
			   MSG_DONTWAIT);
	int rc;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		fd_close(&client->fd);
		return;
	}
	client->len += (size_t)got;
	client->text[client->len] = '\0';
	rc = request_parse(client, &request);
	if (rc == 0)
		return;
	if (rc < 0)
		reply_error(&reply, 400, "not an HTTP request of a sensible size");
	else
		answer(api, &request, &reply);
	reply_send(client, &reply);
	strbuf_free(&reply.body);
	fd_close(&client->fd);
}

/* With every place taken the oldest connection gives way: it has had its time. */
static void client_accept(struct api *api)
{
	int fd = accept4(api->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct api_client *place = &api->clients[0];

	for (size_t i = 0; i < LIMIT_API_CLIENTS; i++)
		if (api->clients[i].fd < 0)
			place = &api->clients[i];
	if (fd < 0)
		return;
	fd_close(&place->fd);
	place->fd = fd;
	place->len = 0;
}

void api_poll_set(const struct api *api, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = api->listener, .events = POLLIN};
	for (size_t i = 0; i < LIMIT_API_CLIENTS; i++)
		fds[1 + i] = (struct pollfd){.fd = api->clients ? api->clients[i].fd : -1,
					     .events = POLLIN};
}

void api_poll_act(struct api *api, const struct pollfd *fds)
{
	for (size_t i = 0; i < LIMIT_API_CLIENTS; i++)
		if (fds[1 + i].revents)
			client_serve(api, &api->clients[i]);
	if (fds[0].revents)
		client_accept(api);
}
