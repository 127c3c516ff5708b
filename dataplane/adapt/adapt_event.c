/* SPDX-License-Identifier: BSD-3-Clause */
#include "adapt_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <rte_common.h>
#include <rte_mbuf.h>

static const char *const policy_names[] = {
	[POLICY_OPEN] = "open", [POLICY_CLOSED] = "closed", [POLICY_ANSWER] = "answer"};

const char *adapt_policy_name(enum policy_on_failure p)
{
	return p <= POLICY_ANSWER ? policy_names[p] : "?";
}

enum policy_on_failure adapt_policy(const struct policy_rule *r, enum callout_cause cause)
{
	return (enum policy_on_failure)r->on_failure[cause < POLICY_CAUSES ? cause : 0];
}

void adapt_note(struct adapt *a, const char *kind, uint64_t offset, const char *text)
{
	struct shm_event_args e = {
		.kind = kind,
		.cause = callout_cause_name(a->cause),
		.rule = a->rule->name,
		.service = policy_image_service(a->image, a->rule->service)->name,
		.flow = a->flow,
		.offset = offset,
		.generation = a->generation,
	};
	size_t n = strlen(text);

	if (a->ctx->events)
		shm_event_write(a->ctx->events, &e, "%.*s; at octet %" PRIu64 " of the message", (int)(n - (n && text[n - 1] == '.')),
				text, offset);
}

/* Goes on with the original: nothing changed has been emitted, and everything from identity on is here. */
static void adapt_go_open(struct adapt *a)
{
	a->rest = true;
	a->rest_from = a->identity;
	a->el_left = -1;
	adapt_ahead_rest(a);
	adapt_count(a, STATS_fail_open, 1);
	adapt_note(a, "fail-open", a->identity, "the message goes on without the service");
}

static void adapt_forget_adapted(struct adapt *a)
{
	for (uint32_t i = 0; i < ADAPT_AMS; i++)
		chunkq_purge(a->ctx->pool, &a->am[i].q);
	memset(a->am, 0, sizeof(a->am));
	a->am_head = a->am_tail = 0;
	chunkq_purge(a->ctx->pool, &a->hq);
	a->identity = 0;
	a->identity_ok = true;
	a->ahead_on = false;
	a->ahead = 0;
	a->to_answer = false;
}

void adapt_fail(struct adapt *a, enum callout_cause cause, const char *text)
{
	enum policy_on_failure p = adapt_policy(a->rule, cause);

	if (a->end_called || a->status != ADAPT_RUNNING)
		return;
	a->cause = cause;
	adapt_end_txn(a, true);
	a->paused = false;
	adapt_note(a, "callout-failed", a->identity_ok ? a->identity : UINT64_MAX, text);
	if (a->observe)
		return;
	if (!a->head_out && !a->identity_ok)
		adapt_forget_adapted(a); /* what came is not on the wire: it never happened */
	if (p == POLICY_OPEN && adapt_rest_possible(a)) {
		adapt_go_open(a);
	} else if (p == POLICY_ANSWER && (a->head ? !a->head->interim : a->mail) && !a->head_out) {
		a->status = ADAPT_ANSWER;
		adapt_count(a, STATS_fail_answer, 1);
		adapt_note(a, "fail-answer", a->identity, "the appliance answers in the message's place");
	} else {
		a->status = ADAPT_ABORT;
		adapt_count(a, p == POLICY_OPEN ? STATS_fail_unrecoverable : STATS_fail_closed, 1);
		adapt_note(a, "fail-closed", a->identity,
			   a->mail ? "the mail is not delivered, its sender is told to try later"
			   : p == POLICY_OPEN ? "changed octets were sent or the copy was given up: the flow is reset"
					      : "the flow is reset");
	}
}

static struct adapt_am *adapt_am_find(struct adapt *a, uint32_t id)
{
	for (uint32_t i = a->am_head; i != a->am_tail; i++) {
		if (a->am[i % ADAPT_AMS].id == id)
			return &a->am[i % ADAPT_AMS];
	}
	return NULL;
}

static void adapt_on_am_start(struct adapt *a, const struct callout_event *ev)
{
	struct adapt_am *am;

	if (a->am_tail - a->am_head >= ADAPT_AMS) {
		adapt_fail(a, CALLOUT_CAUSE_OVERLOAD, "too many adapted messages at a time");
		return;
	}
	am = &a->am[a->am_tail++ % ADAPT_AMS];
	memset(am, 0, sizeof(*am));
	am->used = true;
	am->id = ev->am_id;
	am->answers = ev->answers_request && a->kind == POLICY_KIND_REQUEST;
	am->sizep = ev->sizep;
	am->el = ev->el;
	am->modp = ev->modp;
	if (a->any_am || am->answers)
		a->identity_ok = false;
	a->any_am = true;
	if (am->modp == 0)
		adapt_ahead_predicted(a, am);
}

/* What the octets' message said about the octets behind them; they are in am by now or dealt with. */
static void adapt_on_prediction(struct adapt *a, struct adapt_am *am, const struct callout_event *ev)
{
	if (ev->sizep >= 0)
		am->sizep = (int64_t)am->got + ev->sizep;
	if (ev->modp < 0)
		return;
	am->modp = ev->modp;
	if (am->modp == 0)
		adapt_ahead_predicted(a, am);
}

/* Octets that came as such, and yet are the original's: looked at only where that lets others go ahead. */
static bool data_is_original(const struct adapt *a, const struct adapt_am *am, const struct callout_event *ev)
{
	return ev->modp == 0 && a->identity_ok && am->got == a->identity && !am->answers && !a->ahead_on &&
	       policy_image_service(a->image, a->rule->service)->release_ahead &&
	       adapt_keep_same(a, am->got, ev->data, ev->size) == 1;
}

static void adapt_take_data(struct adapt *a, struct adapt_am *am, const struct callout_event *ev, uint64_t skip)
{
	bool original = data_is_original(a, am, ev);
	struct chunk *c = chunk_new(a->ctx->pool, ev->m, ev->data + skip, (uint32_t)(ev->size - skip));

	if (!c) {
		rte_pktmbuf_free(ev->m);
		adapt_fail(a, CALLOUT_CAUSE_OVERLOAD, "no chunk descriptor for adapted data");
		return;
	}
	c->rsvd = ev->part == CALLOUT_PART_REQUEST_TRAILER || ev->part == CALLOUT_PART_RESPONSE_TRAILER
			  ? ADAPT_TAG_TRAILER
			  : ADAPT_TAG_DATA;
	chunkq_push(&am->q, c);
	am->got += c->len;
	if (original)
		a->identity += c->len;
	else
		a->identity_ok = false;
	if (am->q.bytes > ADAPT_BACKLOG_MAX)
		adapt_fail(a, CALLOUT_CAUSE_OVERLOAD, "the service returned more than the receiver can take");
}

static void adapt_on_data(struct adapt *a, const struct callout_event *ev)
{
	struct adapt_am *am = adapt_am_find(a, ev->am_id);
	uint64_t skip = 0;

	if (!am || am->ended || a->rest) {
		rte_pktmbuf_free(ev->m);
		return;
	}
	if (ev->size && adapt_ahead_pending(a, am))
		skip = adapt_ahead_confirmed(a, am, ev->data, 0, ev->size);
	if (skip == UINT64_MAX || skip == ev->size)
		rte_pktmbuf_free(ev->m);
	else
		adapt_take_data(a, am, ev, skip);
	if (!a->end_called)
		adapt_on_prediction(a, am, ev);
}

static void adapt_on_as_is(struct adapt *a, const struct callout_event *ev)
{
	struct adapt_am *am = adapt_am_find(a, ev->am_id);
	uint64_t src = ev->src_offset, size = ev->size, skip = 0;
	int rc;

	if (!am || am->ended || a->rest)
		return;
	if (size && adapt_ahead_pending(a, am))
		skip = adapt_ahead_confirmed(a, am, NULL, src, size);
	adapt_count(a, STATS_as_is_octets, size);
	if (skip == UINT64_MAX || skip == size)
		return;
	src += skip;
	size -= skip;
	rc = adapt_keep_ref(a, src, size, &am->q);
	if (rc != 0) {
		adapt_fail(a, rc == -ENOMEM ? CALLOUT_CAUSE_OVERLOAD : CALLOUT_CAUSE_PROTOCOL,
			   rc == -ENOMEM ? "no chunk descriptor for data-as-is"
					 : "data-as-is names octets that are not kept");
		return;
	}
	if (a->identity_ok && src == a->identity && am->got == a->identity)
		a->identity += size;
	else if (size)
		a->identity_ok = false;
	am->got += size;
	a->ahead = RTE_MAX(a->ahead, a->ahead_on && a->identity_ok ? a->identity : 0);
}

static void adapt_on_am_end(struct adapt *a, const struct callout_event *ev)
{
	struct adapt_am *am = adapt_am_find(a, ev->am_id);

	if (!am || am->ended)
		return;
	am->ended = true;
	am->ok = ev->ok;
	if (a->rest)
		return;
	if (ev->ok)
		adapt_ahead_ended(a, am);
	else
		adapt_fail(a, ev->cause != CALLOUT_CAUSE_NONE ? ev->cause : CALLOUT_CAUSE_REFUSED,
			   ev->text ? ev->text : "the service gave the adapted message up");
}

static void adapt_on_leave(struct adapt *a, const struct callout_event *ev)
{
	const struct adapt_am *am;
	bool same;

	if (a->rest)
		return;
	if (ev->src_offset < adapt_keep_base(a) || (a->hole && a->hole_end > ev->src_offset)) {
		adapt_fail(a, CALLOUT_CAUSE_BUDGET, "the service left, but the rest was not kept");
		return;
	}
	am = adapt_am_find(a, ev->am_id);
	same = ev->src_offset == a->identity && (am ? am->got == a->identity : a->identity == 0);
	if (!same && !adapt_ahead_ended(a, am))
		return;
	a->identity_ok &= same;
	for (uint32_t i = a->am_head; i != a->am_tail; i++)
		a->am[i % ADAPT_AMS].ended = a->am[i % ADAPT_AMS].ok = true;
	a->left = a->rest = true;
	a->rest_from = ev->src_offset;
	adapt_ahead_rest(a);
	adapt_end_txn(a, false);
}

static void adapt_on_ended(struct adapt *a)
{
	if (!adapt_ahead_ended(a, adapt_am_current(a)))
		return;
	a->peer_ended = true;
	for (uint32_t i = a->am_head; i != a->am_tail; i++) {
		struct adapt_am *am = &a->am[i % ADAPT_AMS];

		if (!am->ended)
			am->ended = am->ok = true; /* xaction-end implies it */
	}
}

/* What an observer sends back is not asked for. True: nothing more to do with this event. */
static bool adapt_observer_event(struct adapt *a, const struct callout_event *ev)
{
	switch (ev->type) {
	case CALLOUT_EV_DATA:
		rte_pktmbuf_free(ev->m);
		return true;
	case CALLOUT_EV_AM_START:
	case CALLOUT_EV_AS_IS:
	case CALLOUT_EV_AM_END:
		return true;
	case CALLOUT_EV_LEAVE:
		a->peer_ended = true; /* it has seen enough */
		return true;
	default:
		return false;
	}
}

void adapt_event(struct adapt_ctx *c, const struct callout_event *ev)
{
	struct adapt *a = ev->txn->user;
	void *owner = a->owner;

	a->progress_us = c->now_us;
	if (a->observe && adapt_observer_event(a, ev))
		return;
	switch (ev->type) {
	case CALLOUT_EV_AM_START:
		adapt_on_am_start(a, ev);
		break;
	case CALLOUT_EV_DATA:
		if (a->end_called)
			rte_pktmbuf_free(ev->m);
		else
			adapt_on_data(a, ev);
		break;
	case CALLOUT_EV_AS_IS:
		if (!a->end_called)
			adapt_on_as_is(a, ev);
		break;
	case CALLOUT_EV_AM_END:
		if (!a->end_called)
			adapt_on_am_end(a, ev);
		break;
	case CALLOUT_EV_LEAVE:
		adapt_on_leave(a, ev);
		break;
	case CALLOUT_EV_WONT_FORWARD:
		if (ev->ok) /* INV-ADAPT-5 */
			a->refused_end = RTE_MAX(a->refused_end, ev->src_offset + ev->size);
		adapt_range_ended(a, ev->src_offset, ev->size);
		break;
	case CALLOUT_EV_PAUSE:
		a->paused = true;
		break;
	case CALLOUT_EV_NEED:
		a->paused = false;
		break;
	case CALLOUT_EV_ENOUGH:
		a->enough = true;
		a->paused = false;
		break;
	case CALLOUT_EV_ROOM:
		break;
	case CALLOUT_EV_ENDED:
		adapt_on_ended(a);
		break;
	case CALLOUT_EV_FAILED:
		adapt_fail(a, ev->cause, ev->text);
		break;
	case CALLOUT_EV_CLOSED:
		adapt_closed(a);
		break;
	}
	if (owner)
		c->wake(owner);
}
