/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control_json.h"
#include "control_log.h"
#include "policy/policy.h"
#include "stats/shm.h"

static bool usable(const struct control *c)
{
	return c->attached && c->plane.state == CONTROL_PLANE_UP;
}

/* --- meeting a dataplane -------------------------------------------------------------------------
 */

/* The dataplane reads the file when it starts; so does this program when it first sees that
 * dataplane. */
static void current_refresh(struct control *c)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct control_config fresh;

	if (!errs)
		return;
	if (control_config_load(&fresh, c->path, 1, errs)) {
		control_config_log_errors(errs);
		control_log_error(
			"%s cannot be used as it is now; the configuration read before stays",
			c->path);
	} else {
		control_config_move(&c->current, &fresh);
		c->config_us = control_realtime_us();
	}
	free(errs);
}

static struct control_shared *shared_find(void)
{
	size_t size;
	struct control_shared *s = control_plane_zone_lookup(CONTROL_SHARED_MEMZONE, &size);

	if (!s)
		return NULL;
	if (s->magic == CONTROL_SHARED_MAGIC && s->version == CONTROL_SHARED_VERSION &&
	    size >= sizeof(*s) && s->text_len <= size - sizeof(*s))
		return s;
	control_plane_zone_free(CONTROL_SHARED_MEMZONE);
	return NULL;
}

static struct control_shared *shared_create(const struct control *c)
{
	struct control_shared *s = control_plane_zone_reserve(CONTROL_SHARED_MEMZONE,
							      sizeof(*s) + c->current.text_len);

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->version = CONTROL_SHARED_VERSION;
	s->next_seq = c->events.next;
	s->text_len = c->current.text_len;
	memcpy(s->text, c->current.text, s->text_len);
	__atomic_store_n(&s->magic, CONTROL_SHARED_MAGIC, __ATOMIC_RELEASE);
	return s;
}

/* What the dataplane started with, as far as that is known: changes that need its restart are
 * measured against it. */
static void baseline_set(struct control *c)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	const char *key;

	if (c->baseline)
		policy_config_free(c->baseline);
	c->baseline = NULL;
	if (!errs || !c->shared)
		return;
	if (policy_config_parse(c->path, c->shared->text, c->shared->text_len, &c->baseline, errs))
		c->baseline = NULL;
	free(errs);
	key = c->baseline ? policy_config_restart_needed(c->baseline, c->current.config) : NULL;
	if (key) {
		control_log_error(
			"%s changed since the dataplane started: restart opes-dataplane to use %s; "
			"until then the rules in use stay",
			key, c->path);
		c->publish_due = false;
	}
}

void control_attach(struct control *c)
{
	struct shm_root *root = c->plane.root;

	c->attached = true;
	c->publish_due = true;
	c->shared = shared_find();
	if (c->shared) {
		control_events_recall(&c->events, root, c->shared);
	} else {
		current_refresh(c);
		c->shared = shared_create(c);
	}
	if (!c->shared)
		control_log_error(
			"no hugepage memory for the state of control: events may appear twice "
			"after a restart");
	baseline_set(c);
	control_publish_attach(&c->publish, root, control_now_us());
	atomic_store(&root->control_pid, (int32_t)getpid());
	control_log_info("attached to opes-dataplane, pid %d, generation %u", root->dataplane_pid,
			 atomic_load(&root->publish.adopted));
}

/* --- publishing ----------------------------------------------------------------------------------
 */

/* Compiled under the generation in use the same rules give the same image: nothing to publish. */
static bool adopted_equal(struct control *c)
{
	const struct policy_image *now = control_publish_adopted(c->plane.root);
	struct policy_errors *errs;
	struct policy_image *img;
	bool equal = false;

	if (!now)
		return false;
	errs = calloc(1, sizeof(*errs));
	if (errs &&
	    policy_compile(c->current.config, policy_image_generation(now), &img, errs) == 0) {
		equal = policy_image_size(img) == policy_image_size(now) &&
			memcmp(img, now, policy_image_size(img)) == 0;
		free(img);
	}
	free(errs);
	return equal;
}

static const char *publish_error(int r)
{
	switch (r) {
	case -ENOMEM:
		return "not enough hugepage memory for the compiled rules; raise dpdk.memory";
	case -EBUSY:
		return "the generation published before has not been adopted yet";
	default:
		return "the compiled rules are damaged";
	}
}

/* Rules read at start go to a dataplane that does not have them. */
static void publish_current(struct control *c)
{
	struct policy_errors *errs;
	int r;

	c->publish_due = false;
	if (adopted_equal(c))
		return;
	errs = calloc(1, sizeof(*errs));
	r = errs ? control_config_parse(&c->next, c->path, c->current.text, c->current.text_len,
					control_publish_next(c->plane.root), errs)
		 : -ENOMEM;
	if (r && errs)
		control_config_log_errors(errs);
	free(errs);
	if (!r)
		r = control_publish_start(&c->publish, c->plane.root, c->next.image,
					  control_now_us());
	if (r) {
		control_config_free(&c->next);
		control_log_error("rules were not published: %s", publish_error(r));
		return;
	}
	c->reloading = true;
}

/* --- reload --------------------------------------------------------------------------------------
 */

static bool reload_possible(const struct control *c, char *reason)
{
	if (c->reloading || (c->attached && c->publish.state != CONTROL_PUBLISH_IDLE)) {
		snprintf(reason, CONTROL_REASON_MAX,
			 "generation %u is published and the dataplane has not adopted it yet; try "
			 "again later",
			 c->publish.generation);
		return false;
	}
	if (c->plane.state == CONTROL_PLANE_WAITING) {
		snprintf(reason, CONTROL_REASON_MAX, "the dataplane is starting; try again");
		return false;
	}
	if (c->plane.state == CONTROL_PLANE_STALLED) {
		snprintf(reason, CONTROL_REASON_MAX,
			 "the dataplane (pid %d) gives no sign of life; nothing was changed",
			 (int)c->plane.pid);
		return false;
	}
	return true;
}

/* What cannot change while the programs run. */
static bool restart_free(const struct control *c, const struct control_config *next, char *reason)
{
	const struct policy_config *now = c->current.config, *cfg = next->config;
	const char *key = NULL;

	if (strcmp(now->control_socket, cfg->control_socket) != 0)
		key = "control-socket";
	else if (strcmp(now->file_prefix, cfg->file_prefix) != 0)
		key = "dpdk.file-prefix";
	if (key) {
		snprintf(reason, CONTROL_REASON_MAX,
			 "%s changed: that needs a restart of opes-control and opes-dataplane; "
			 "nothing was changed",
			 key);
		return false;
	}
	if (usable(c))
		key = policy_config_restart_needed(c->baseline ? c->baseline : now, cfg);
	if (key) {
		snprintf(reason, CONTROL_REASON_MAX,
			 "%s changed: that needs a restart of opes-dataplane; nothing was changed",
			 key);
		return false;
	}
	return true;
}

static json_t *reload_result(const struct policy_image *img, bool published)
{
	return json_pack("{s:I, s:i, s:i, s:b}", "generation",
			 (json_int_t)(published ? policy_image_generation(img) : 0), "rules",
			 (int)policy_image_rules(img), "services", (int)policy_image_services(img),
			 "published", published);
}

int control_reload(struct control *c, uint64_t client, const json_t *id, json_t **result,
		   char reason[CONTROL_REASON_MAX], json_t **errors)
{
	struct policy_errors *errs;
	struct control_config next;
	int r;

	if (!reload_possible(c, reason))
		return -EBUSY;
	errs = calloc(1, sizeof(*errs));
	if (!errs)
		return -ENOMEM;
	r = control_config_load(&next, c->path, usable(c) ? control_publish_next(c->plane.root) : 1,
				errs);
	if (r) {
		snprintf(reason, CONTROL_REASON_MAX,
			 "the configuration has %u error%s; nothing was changed", errs->count,
			 errs->count == 1 ? "" : "s");
		*errors = control_json_errors(errs);
		free(errs);
		return r;
	}
	free(errs);
	if (!restart_free(c, &next, reason)) {
		control_config_free(&next);
		return -EINVAL;
	}
	if (!usable(c)) {
		control_config_move(&c->current, &next);
		c->config_us = control_realtime_us();
		*result = reload_result(c->current.image, false);
		return 0;
	}
	r = control_publish_start(&c->publish, c->plane.root, next.image, control_now_us());
	if (r) {
		snprintf(reason, CONTROL_REASON_MAX, "%s; nothing was changed", publish_error(r));
		control_config_free(&next);
		return r;
	}
	c->publish_due = false;
	control_config_move(&c->next, &next);
	c->reloading = true;
	c->reload_client = client;
	c->reload_id = id ? json_deep_copy(id) : NULL;
	return 1;
}

static void reload_answer(struct control *c, bool ok, const char *reason)
{
	json_t *id = c->reload_id;

	if (!id)
		return;
	c->reload_id = NULL;
	control_socket_answer(c->socket, c->reload_client,
			      ok ? control_answer_ok(id, reload_result(c->current.image, true))
				 : control_answer_error(id, reason, NULL));
	json_decref(id);
}

/* A generation that a predecessor published has no text here. */
static void adopted(struct control *c)
{
	uint32_t g = c->publish.generation;

	if (c->reloading) {
		control_config_move(&c->current, &c->next);
		c->config_us = control_realtime_us();
	}
	c->reloading = false;
	control_events_own(&c->events, "rules-adopted", NULL, g, "generation %u is in use", g);
	reload_answer(c, true, NULL);
}

static void refused(struct control *c)
{
	char why[sizeof(c->plane.root->publish.reason) + 1], text[CONTROL_REASON_MAX];
	uint32_t g = c->publish.generation;

	snprintf(why, sizeof(why), "%.*s", (int)sizeof(c->plane.root->publish.reason),
		 c->plane.root->publish.reason);
	snprintf(text, sizeof(text),
		 "the dataplane refused generation %u: %s; the rules before stay in use", g, why);
	control_config_free(&c->next);
	c->reloading = false;
	control_events_own(&c->events, "rules-refused", NULL, g, "%s", text);
	reload_answer(c, false, text);
}

void control_reload_poll(struct control *c)
{
	char text[CONTROL_REASON_MAX];

	if (!c->attached)
		return;
	switch (control_publish_poll(&c->publish, c->plane.root, control_now_us())) {
	case CONTROL_PUBLISH_ADOPTED:
		adopted(c);
		break;
	case CONTROL_PUBLISH_REFUSED:
		refused(c);
		break;
	case CONTROL_PUBLISH_TIMEOUT:
		snprintf(text, sizeof(text),
			 "the dataplane has not adopted generation %u within %u s; it is used when "
			 "the dataplane takes it",
			 c->publish.generation, CONTROL_PUBLISH_TIMEOUT_US / 1000000);
		control_events_own(&c->events, "rules-late", NULL, c->publish.generation, "%s",
				   text);
		reload_answer(c, false, text);
		break;
	case CONTROL_PUBLISH_NOTHING:
		break;
	}
	if (c->publish_due && usable(c) && c->publish.state == CONTROL_PUBLISH_IDLE)
		publish_current(c);
}

void control_reload_abort(struct control *c)
{
	reload_answer(
		c, false,
		"the dataplane ended before it adopted the rules; it reads them when it starts");
	if (c->reloading)
		control_config_move(&c->current, &c->next);
	c->reloading = false;
}
