/* SPDX-License-Identifier: BSD-3-Clause */
/* Both agents: creation, table of transactions, timers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core.h"

#define SPARES_MAX 256

/* --- lists --- */

static struct ocp_xaction *list_first(const struct ocp_link *head)
{
	return head->next == head ? NULL : (struct ocp_xaction *)head->next;
}

/* --- agent --- */

int ocp_agent_init(struct ocp_agent *a, uint64_t now_us)
{
	uint32_t size = 16;

	if (!a->output || !a->xactions_max || !a->limits.payload || !a->limits.name ||
	    !a->limits.atom)
		return -EINVAL;
	while (size < a->xactions_max && size < UINT32_C(1) << 20)
		size *= 2;
	if (!a->probe_timeout_us)
		a->probe_timeout_us = 2000000;
	a->decoder = ocp_decoder_create(&a->limits);
	a->table = calloc(size, sizeof(*a->table));
	if (!a->decoder || !a->table) {
		ocp_decoder_destroy(a->decoder);
		free(a->table);
		return -ENOMEM;
	}
	if (!a->role->first) /* it decides on the first message */
		ocp_decoder_dialect(a->decoder, OCP_DIALECT_DRAFT);
	a->table_mask = size - 1;
	/* The peer chooses the xids at a callout server: make their places unpredictable. */
	a->table_seed = (uint32_t)((uintptr_t)a->table >> 4) ^ (uint32_t)now_us;
	ocp_link_init(&a->quiet);
	ocp_link_init(&a->asked);
	a->next_rid = 1;
	a->now = a->last_rx = now_us;
	return 0;
}

static void am_free_all(struct ocp_am *am)
{
	while (am) {
		struct ocp_am *next = am->next;

		free(am);
		am = next;
	}
}

void ocp_agent_fini(struct ocp_agent *a)
{
	struct ocp_xaction *x;

	while ((x = list_first(&a->quiet)) || (x = list_first(&a->asked))) {
		ocp_agent_detach(a, x);
		ocp_agent_free(a, x);
	}
	while ((x = a->spare)) {
		a->spare = x->hash_next;
		ocp_ranges_free(&x->kept);
		free(x);
	}
	am_free_all(a->spare_ams);
	ocp_core_fini(a);
	ocp_decoder_destroy(a->decoder);
	free(a->table);
}

/* --- table --- */

static struct ocp_xaction **slot(const struct ocp_agent *a, uint32_t xid)
{
	uint32_t h = xid ^ a->table_seed;

	h = (h ^ (h >> 16)) * UINT32_C(0x85ebca6b);
	h = (h ^ (h >> 13)) * UINT32_C(0xc2b2ae35);
	return &a->table[(h ^ (h >> 16)) & a->table_mask];
}

struct ocp_xaction *ocp_agent_find(const struct ocp_agent *a, uint32_t xid)
{
	struct ocp_xaction *x = *slot(a, xid);

	while (x && x->xid != xid)
		x = x->hash_next;
	return x;
}

struct ocp_xaction *ocp_agent_add(struct ocp_agent *a, uint32_t xid, void *user)
{
	struct ocp_xaction **at = slot(a, xid), *x = a->spare;
	struct ocp_ranges kept = {0};

	if (x) {
		a->spare = x->hash_next;
		a->spares--;
		kept = x->kept;
	} else {
		x = malloc(sizeof(*x));
		if (!x)
			return NULL;
	}
	ocp_ranges_clear(&kept);
	*x = (struct ocp_xaction){
		.hash_next = *at,
		.xid = xid,
		.user = user,
		.kept = kept,
		.last_am_id = -1,
		.active_us = a->now,
	};
	*at = x;
	ocp_link_append(&a->quiet, &x->link);
	a->xactions++;
	return x;
}

void ocp_agent_detach(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_xaction **at = slot(a, x->xid);

	while (*at != x)
		at = &(*at)->hash_next;
	*at = x->hash_next;
	ocp_link_remove(&x->link);
	a->xactions--;
	if (a->current.wanted && a->current.xid == x->xid)
		a->current.wanted = false;
}

void ocp_agent_free(struct ocp_agent *a, struct ocp_xaction *x)
{
	while (x->ams)
		ocp_xaction_am_drop(a, x, x->ams);
	if (a->role->freed)
		a->role->freed(a, x);
	if (a->spares >= SPARES_MAX) {
		ocp_ranges_free(&x->kept);
		free(x);
		return;
	}
	x->hash_next = a->spare;
	a->spare = x;
	a->spares++;
}

void ocp_agent_finish(struct ocp_agent *a, struct ocp_xaction *x,
		      const struct ocp_xaction_ending *e)
{
	ocp_agent_detach(a, x);
	a->finishing++;
	a->role->ended(a, x, e);
	ocp_agent_free(a, x);
	if (--a->finishing || !a->closing)
		return;
	a->closing = false;
	if (a->on_closed)
		a->on_closed(a->ctx, a->over, NULL);
}

/* --- adapted messages --- */

struct ocp_am *ocp_xaction_am(const struct ocp_xaction *x, uint32_t am_id)
{
	struct ocp_am *am = x->ams;

	while (am && am->id != am_id)
		am = am->next;
	return am;
}

struct ocp_am *ocp_xaction_am_add(struct ocp_agent *a, struct ocp_xaction *x, uint32_t am_id)
{
	struct ocp_am *am = a->spare_ams, **at = &x->ams;

	if (am) {
		a->spare_ams = am->next;
		a->spare_ams_n--;
	} else {
		am = malloc(sizeof(*am));
		if (!am)
			return NULL;
	}
	*am = (struct ocp_am){.id = am_id};
	while (*at)
		at = &(*at)->next;
	*at = am;
	x->ams_open++;
	return am;
}

void ocp_xaction_am_drop(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am)
{
	struct ocp_am **at = &x->ams;

	while (*at != am)
		at = &(*at)->next;
	*at = am->next;
	x->ams_open--;
	if (a->current.wanted && a->current.xid == x->xid && a->current.data.am_id == am->id)
		a->current.wanted = false;
	if (a->spare_ams_n >= SPARES_MAX) {
		free(am);
		return;
	}
	am->next = a->spare_ams;
	a->spare_ams = am;
	a->spare_ams_n++;
}

/* --- timers --- */

void ocp_agent_touch(struct ocp_agent *a, struct ocp_xaction *x)
{
	x->active_us = a->now;
	x->asked = false;
	x->grace = 0;
	ocp_link_remove(&x->link);
	ocp_link_append(&a->quiet, &x->link);
}

static uint64_t plus(uint64_t t, uint64_t d)
{
	return t > UINT64_MAX - d ? UINT64_MAX : t + d;
}

/* When a question asked at t counts as unanswered. The answer may be queued behind data that is
 * still arriving, so octets received extend the time, but not for ever. */
static uint64_t unanswered(const struct ocp_agent *a, uint64_t t)
{
	uint64_t from = t > a->last_rx ? t : a->last_rx;
	uint64_t soft = plus(from, a->probe_timeout_us), hard = plus(t, 4 * a->probe_timeout_us);

	return soft < hard ? soft : hard;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ocp_agent_next_deadline(const struct ocp_agent *a)
{
	const struct ocp_xaction *quiet = list_first(&a->quiet), *asked = list_first(&a->asked);
	uint64_t t = UINT64_MAX;

	if (a->over)
		return UINT64_MAX;
	if (a->broken)
		return 0;
	if (!a->started)
		return UINT64_MAX;
	if (a->probing)
		t = unanswered(a, a->probe_us);
	else if (a->idle_probe_us)
		t = plus(a->last_rx, a->idle_probe_us);
	if (quiet && a->deadline_us)
		t = earlier(t, plus(quiet->active_us, a->deadline_us));
	if (asked)
		t = earlier(t, unanswered(a, asked->asked_us));
	return a->core ? earlier(t, ocp_core_next_deadline(a)) : t;
}

static void tick_connection(struct ocp_agent *a)
{
	if (a->probing) {
		if (a->now < unanswered(a, a->probe_us))
			return;
		if (a->core) /* whoever closes says so before [11.2], if only to the transport */
			ocp_core_dead(a, "no answer to PQ");
		else
			ocp_agent_close(a, OCP_END_DEAD, NULL);
		return;
	}
	if (!a->idle_probe_us || a->now < plus(a->last_rx, a->idle_probe_us))
		return;
	if (!ocp_agent_probe(a, false, 0, false, 0, &a->probe_rid)) {
		a->probing = true;
		a->probe_us = a->now;
	}
}

void ocp_agent_give_up(struct ocp_agent *a, struct ocp_xaction *x)
{
	if (x->te_sent)
		return;
	if (a->core)
		a->core->role->give_up(a, x);
	else
		ocp_agent_send_xaction_end(a, x->xid, true, NULL);
}

static void tick_xactions(struct ocp_agent *a)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_DEADLINE};
	struct ocp_xaction *x;

	while (a->deadline_us && (x = list_first(&a->quiet)) &&
	       a->now >= plus(x->active_us, a->deadline_us)) {
		x->asked_am = a->asks_am && x->am_open && !x->am_ended;
		if (ocp_agent_probe(a, true, x->xid, x->asked_am, x->asked_am ? x->am_id : 0, &x->asked_rid))
			return;
		x->asked = true;
		x->asked_us = a->now;
		ocp_link_remove(&x->link);
		ocp_link_append(&a->asked, &x->link);
	}
	while (!a->over && (x = list_first(&a->asked)) && a->now >= unanswered(a, x->asked_us)) {
		ocp_agent_give_up(a, x);
		ocp_agent_finish(a, x, &e);
	}
}

void ocp_agent_tick(struct ocp_agent *a, uint64_t now_us)
{
	a->now = now_us;
	if (a->over || !a->started)
		return;
	if (!a->broken)
		tick_connection(a);
	if (a->core && !a->over && !a->broken)
		ocp_core_tick(a);
	if (!a->over && !a->broken)
		tick_xactions(a);
	if (a->broken)
		ocp_agent_close(a, OCP_END_OUTPUT, NULL);
}
