/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Silence: an end that has not been heard for limits.idle-timeout is asked whether it is there (RFC 9293 3.8.4). Each end
 * by itself: what keeps one end talking to us says nothing about the other. An end that answers is good for another
 * idle-timeout, however long, half closed or not; one that does not ends the flow.
 *
 * INV-SILENCE-1  a probe is one segment for each silent end, sent from the flow's own timer: nothing walks over all flows.
 */
#include "session_priv.h"

static uint64_t silent_since(const struct session_heard *h)
{
	return RTE_MIN(h->us[0], h->us[1]);
}

uint64_t session_silence_deadline(const struct session_ctx *c, const struct session_heard *h)
{
	uint64_t at = silent_since(h) + c->cfg.limits->idle_timeout_us;

	return h->probes ? RTE_MAX(at, h->probe_us + c->probe_interval_us) : at;
}

/* Nobody is asked any more when both are there. */
void session_answered(const struct session_ctx *c, struct session_heard *h)
{
	if (c->now_us < silent_since(h) + c->cfg.limits->idle_timeout_us)
		h->probes = 0;
}

bool session_silent(const struct session_ctx *c, const struct session_heard *h, unsigned side)
{
	return c->now_us >= h->us[side] + c->cfg.limits->idle_timeout_us;
}

enum session_silence session_silence(const struct session_ctx *c, struct session_heard *h)
{
	if (c->now_us < silent_since(h) + c->cfg.limits->idle_timeout_us)
		return SILENCE_NONE;
	if (h->probes && c->now_us < h->probe_us + c->probe_interval_us)
		return SILENCE_NONE;
	if (h->probes >= c->probes_max)
		return SILENCE_DEAD;
	h->probes++;
	h->probe_us = c->now_us;
	return SILENCE_PROBE;
}
