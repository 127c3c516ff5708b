/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/command.h"
#include "control_json.h"
#include "policy/policy.h"
#include "stats/shm.h"

#define FLOWS_DEFAULT 1000
#define EVENTS_DEFAULT 100
#define DEFERRED 1

/* One request being served. */
struct call {
	struct control *c;
	uint64_t client;
	const json_t *id, *args;
	json_t *result, *errors;
	char error[CONTROL_REASON_MAX];
};

/* 0: result is set; DEFERRED: answered later; -errno: error is set. */
typedef int (*handler_fn)(struct call *call);

json_t *control_answer_ok(const json_t *id, json_t *result)
{
	return json_pack("{s:O, s:b, s:o}", "id", id, "ok", 1, "result", result);
}

json_t *control_answer_error(const json_t *id, const char *text, json_t *errors)
{
	json_t *o = json_pack("{s:O, s:b, s:s}", "id", id, "ok", 0, "error", text);

	if (errors)
		json_object_set_new(o, "errors", errors);
	return o;
}

/* --- arguments -----------------------------------------------------------------------------------
 */

static uint64_t arg_number(const struct call *call, const char *key, uint64_t otherwise)
{
	const json_t *v = json_object_get(call->args, key);

	return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v)
								: otherwise;
}

static bool arg_true(const struct call *call, const char *key)
{
	return json_is_true(json_object_get(call->args, key));
}

/* Shared memory, or an error in call. */
static struct shm_root *root_get(struct call *call)
{
	struct control *c = call->c;

	if (c->attached && c->plane.root)
		return c->plane.root;
	snprintf(call->error, sizeof(call->error), "dataplane: down (%s)", c->plane.why);
	return NULL;
}

/* Rules in use; without a dataplane those it would be given. */
static const struct policy_image *image_get(const struct control *c, bool *in_use)
{
	const struct policy_image *img =
		c->attached ? control_publish_adopted(c->plane.root) : NULL;

	*in_use = img != NULL;
	return img ? img : c->current.image;
}

/* --- status --------------------------------------------------------------------------------------
 */

static void status_dataplane(const struct control *c, json_t *o)
{
	const struct shm_root *root = c->attached ? c->plane.root : NULL;
	uint64_t now = control_realtime_us();

	json_object_set_new(o, "dataplane", json_string(control_plane_state_name(c->plane.state)));
	if (!root) {
		json_object_set_new(o, "reason", json_string(c->plane.why));
		return;
	}
	json_object_set_new(o, "dataplane_pid", json_integer(c->plane.pid));
	json_object_set_new(o, "dataplane_version",
			    control_json_text(root->version_text, sizeof(root->version_text)));
	json_object_set_new(o, "tsc_hz", json_integer((json_int_t)root->tsc_hz));
	json_object_set_new(o, "dataplane_started", control_json_time(root->started_us));
	json_object_set_new(
		o, "dataplane_uptime_us",
		json_integer(now > root->started_us ? (json_int_t)(now - root->started_us) : 0));
	json_object_set_new(o, "dataplane_file",
			    control_json_text(root->config_file, sizeof(root->config_file)));
}

/* generation: published last; adopted: in use by every worker; 0 without a dataplane. */
static void status_rules(const struct control *c, json_t *o)
{
	const struct shm_publish *p = c->attached ? &c->plane.root->publish : NULL;
	bool in_use;
	const struct policy_image *img = image_get(c, &in_use);

	json_object_set_new(o, "generation", json_integer(p ? atomic_load(&p->generation) : 0));
	json_object_set_new(o, "adopted", json_integer(p ? atomic_load(&p->adopted) : 0));
	json_object_set_new(o, "refused", json_integer(p ? atomic_load(&p->refused) : 0));
	if (p && atomic_load(&p->refused))
		json_object_set_new(o, "refused_reason",
				    control_json_text(p->reason, sizeof(p->reason)));
	json_object_set_new(o, "pending",
			    json_boolean(p && c->publish.state != CONTROL_PUBLISH_IDLE));
	json_object_set_new(o, "rules", json_integer(policy_image_rules(img)));
}

static json_t *status_workers(const struct control *c)
{
	const struct shm_root *root = c->plane.root;
	json_t *list = json_array();

	for (unsigned w = 0; w < root->workers && w < SHM_WORKERS_MAX; w++) {
		const struct shm_worker *k = &root->worker[w];

		json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:i, s:I, s:I, s:I, s:I}", "worker",
						      (int)w, "lcore", (int)k->lcore, "generation",
						      (json_int_t)atomic_load(&k->generation),
						      "busy_permille", (int)c->busy_permille[w],
						      "busy_cycles", (json_int_t)k->loop_tsc_busy,
						      "loop_cycles", (json_int_t)k->loop_tsc_total,
						      "flows", (json_int_t)k->gauge.flows, "txns",
						      (json_int_t)k->gauge.txns));
	}
	return list;
}

static void status_services(const struct control *c, json_t *o)
{
	bool in_use;
	json_t *list =
		control_json_services(image_get(c, &in_use), c->attached ? c->plane.root : NULL);
	json_t *s;
	size_t i, up = 0;

	json_array_foreach(list, i, s) up +=
		strcmp(json_string_value(json_object_get(s, "state")), "up") == 0;
	json_object_set_new(o, "services", json_integer((json_int_t)json_array_size(list)));
	json_object_set_new(o, "services_up", json_integer((json_int_t)up));
	json_decref(list);
}

static int handle_status(struct call *call)
{
	struct control *c = call->c;
	json_t *o = json_object();

	status_dataplane(c, o);
	status_rules(c, o);
	status_services(c, o);
	json_object_set_new(o, "control_pid", json_integer(getpid()));
	json_object_set_new(o, "control_version", json_string(OPES_VERSION));
	json_object_set_new(o, "control_started", control_json_time(c->started_us));
	json_object_set_new(o, "socket", json_string(c->current.config->control_socket));
	json_object_set_new(o, "file", json_string(c->path));
	json_object_set_new(o, "file_read", control_json_time(c->config_us));
	if (c->attached) {
		json_object_set_new(o, "ports", control_json_ports(c->plane.root));
		json_object_set_new(o, "workers", status_workers(c));
	}
	call->result = o;
	return 0;
}

/* --- the others ----------------------------------------------------------------------------------
 */

static int handle_rules_list(struct call *call)
{
	bool in_use;
	const struct policy_image *img = image_get(call->c, &in_use);

	call->result = json_pack("{s:b, s:I, s:o}", "in_use", in_use, "generation",
				 (json_int_t)(in_use ? policy_image_generation(img) : 0), "rules",
				 control_json_rules(img));
	return 0;
}

static int handle_rules_reload(struct call *call)
{
	int r = control_reload(call->c, call->client, call->id, &call->result, call->error,
			       &call->errors);

	return r == 1 ? DEFERRED : r;
}

static int handle_flows(struct call *call)
{
	struct shm_root *root = root_get(call);
	unsigned worker;
	bool more;
	json_t *list;
	int r;

	if (!root)
		return -ENOTCONN;
	r = control_query_flows(root, arg_number(call, "max", FLOWS_DEFAULT), &list, &more,
				&worker);
	if (r) {
		snprintf(call->error, sizeof(call->error),
			 "worker %u does not answer; is the dataplane stalled? see status", worker);
		return r;
	}
	call->result = json_pack("{s:o, s:b}", "flows", list, "more", more);
	return 0;
}

static int handle_flows_show(struct call *call)
{
	struct shm_root *root = root_get(call);
	uint64_t id = (uint64_t)json_integer_value(json_object_get(call->args, "flow"));
	int r;

	if (!root)
		return -ENOTCONN;
	r = control_query_flow(root, id, &call->result);
	if (r == -ENOENT)
		snprintf(call->error, sizeof(call->error),
			 "no flow %" PRIx64 ": it is over, or was never there; opesctl flows lists those of this moment",
			 id);
	else if (r)
		snprintf(call->error, sizeof(call->error),
			 "worker %u does not answer; is the dataplane stalled? see status",
			 (unsigned)(id >> SHM_FLOW_ID_WORKER_SHIFT));
	return r;
}

static int handle_services(struct call *call)
{
	bool in_use;
	const struct policy_image *img = image_get(call->c, &in_use);

	call->result = json_pack(
		"{s:o}", "services",
		control_json_services(img, call->c->attached ? call->c->plane.root : NULL));
	return 0;
}

static int handle_buffers(struct call *call)
{
	struct shm_root *root = root_get(call);

	if (!root)
		return -ENOTCONN;
	call->result = control_json_buffers(root);
	return 0;
}

static int handle_counters(struct call *call)
{
	struct shm_root *root = root_get(call);
	json_t *list, *o;
	size_t i;

	if (!root)
		return -ENOTCONN;
	list = control_json_counters(root);
	for (i = json_array_size(list); !arg_true(call, "all") && i-- > 0;) {
		o = json_array_get(list, i);
		if (json_integer_value(json_object_get(o, "value")) == 0)
			json_array_remove(list, i);
	}
	call->result = json_pack("{s:o}", "counters", list);
	return 0;
}

/* --- events: the only request that may wait ------------------------------------------------------
 */

static json_t *events_result(const struct control *c, uint64_t after, uint64_t max)
{
	return json_pack("{s:o, s:I}", "events", control_events_list(&c->events, after, max),
			 "last", (json_int_t)(c->events.next - 1));
}

static int handle_events(struct call *call)
{
	struct control *c = call->c;
	uint64_t max = arg_number(call, "max", EVENTS_DEFAULT),
		 after = arg_number(call, "after", 0);

	/* a number of an earlier life of this program: only what comes from here on */
	if (after >= c->events.next)
		after = c->events.next - 1;
	if (!arg_true(call, "wait") || after + 1 < c->events.next) {
		call->result = events_result(c, after, max);
		return 0;
	}
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_waiter *w = &c->waiter[i];

		if (w->client && control_socket_client_alive(c->socket, w->client))
			continue;
		json_decref(w->id);
		*w = (struct control_waiter){
			.client = call->client,
			.id = json_deep_copy(call->id),
			.after = after,
			.max = max,
			.deadline_us = control_now_us() + CONTROL_EVENT_WAIT_US,
		};
		return DEFERRED;
	}
	call->result = events_result(c, after, max);
	return 0;
}

static void waiter_answer(struct control *c, struct control_waiter *w)
{
	json_t *id = w->id;

	control_socket_answer(c->socket, w->client,
			      control_answer_ok(id, events_result(c, w->after, w->max)));
	json_decref(id);
	memset(w, 0, sizeof(*w));
}

void control_commands_poll(struct control *c)
{
	uint64_t now = control_now_us();

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_waiter *w = &c->waiter[i];

		if (w->client && (w->after + 1 < c->events.next || now >= w->deadline_us))
			waiter_answer(c, w);
	}
}

void control_commands_release(struct control *c)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->waiter[i].client)
			waiter_answer(c, &c->waiter[i]);
}

/* --- dispatch ------------------------------------------------------------------------------------
 */

static int handle_local(struct call *call)
{
	snprintf(call->error, sizeof(call->error), "this command is carried out by opesctl itself");
	return -EOPNOTSUPP;
}

static handler_fn handler_find(const char *name)
{
	static const handler_fn handler[] = {
#define COMMAND(words, fn, options, help) handle_##fn,
#include "command/commands.def"
#undef COMMAND
	};
	char known[64];

	for (size_t i = 0; i < command_count; i++) {
		command_request_name(&command_table[i], known, sizeof(known));
		if (strcmp(known, name) == 0)
			return handler[i];
	}
	return NULL;
}

void control_commands_handle(void *ctx, uint64_t client, const json_t *request)
{
	const json_t *id = json_object_get(request, "id");
	const char *name = json_string_value(json_object_get(request, "command"));
	struct call call = {.c = ctx,
			    .client = client,
			    .id = id ? id : json_null(),
			    .args = json_object_get(request, "args")};
	handler_fn fn = name ? handler_find(name) : NULL;
	int r;

	if (!name) {
		r = -EINVAL;
		snprintf(call.error, sizeof(call.error), "the request has no \"command\"");
	} else if (!fn) {
		r = -ENOENT;
		snprintf(call.error, sizeof(call.error), "unknown command \"%.100s\"", name);
	} else {
		r = fn(&call);
	}
	if (r < 0 && !call.error[0])
		snprintf(call.error, sizeof(call.error), "%s", strerror(-r));
	if (r < 0)
		control_socket_answer(call.c->socket, client,
				      control_answer_error(call.id, call.error, call.errors));
	else if (r == 0)
		control_socket_answer(call.c->socket, client,
				      control_answer_ok(call.id, call.result));
}
