/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Release ahead (services[].release-ahead): the service has predicted that nothing of the message will change
 * (`modp: 0`, <48>), so octets of the original go out before it says data-as-is for them.
 *
 *   0 ......... identity ......... ahead ......... orig_len
 *     confirmed          released           not here, or not released yet
 *
 * INV-ADAPT-7  identity <= ahead, and [identity, ahead) stays in keep: what the service says about these octets is held
 *              against them. They go out once, whatever it says. What disagrees is a broken promise: the transaction
 *              ends with the cause `protocol`. Octets that were sent without a copy for want of memory cannot be
 *              compared; the service is believed about these.
 */
#include "adapt_priv.h"

#include <errno.h>
#include <rte_common.h>

static const char broken[] = "the service changed what it had predicted to stay as it is (modp 0), after the release";

void adapt_ahead_predicted(struct adapt *a, struct adapt_am *am)
{
	if (!policy_image_service(a->image, a->rule->service)->release_ahead || a->ahead_on || !a->identity_ok ||
	    am != adapt_am_current(a) || am->answers || am->got != a->identity)
		return;
	a->ahead_on = true;
	a->ahead_id = am->id;
	a->ahead = a->identity;
}

bool adapt_ahead_pending(const struct adapt *a, const struct adapt_am *am)
{
	return a->ahead_on && am && am->id == a->ahead_id && a->ahead > am->got;
}

void adapt_ahead_pump(struct adapt *a)
{
	struct adapt_am *am = adapt_am_current(a);
	uint64_t room, n;
	int rc;

	if (!a->ahead_on || !a->identity_ok || a->rest || a->end_called || !am || am->ended || am->id != a->ahead_id ||
	    a->refused_end > a->identity)
		return;
	room = a->out.bytes + am->q.bytes + a->hq.bytes;
	room = room < ADAPT_OUT_MAX ? ADAPT_OUT_MAX - room : 0;
	n = RTE_MIN(a->orig_len - a->ahead, room);
	if (n == 0)
		return;
	rc = adapt_keep_ref(a, a->ahead, n, &am->q);
	if (rc == -ENOENT)
		a->ahead_on = a->ahead > a->identity; /* a hole: from here on the service's word is waited for */
	if (rc != 0)
		return;
	a->ahead += n;
	adapt_count(a, STATS_released_ahead_octets, n);
}

uint64_t adapt_ahead_confirmed(struct adapt *a, struct adapt_am *am, const uint8_t *data, uint64_t src, uint64_t size)
{
	uint64_t n = RTE_MIN(size, a->ahead - am->got);

	/* what is not kept (-ENOENT) cannot be compared: INV-ADAPT-7 */
	if (!a->identity_ok || am->got != a->identity ||
	    (data ? adapt_keep_same(a, am->got, data, n) == 0 : src != am->got)) {
		adapt_fail(a, CALLOUT_CAUSE_PROTOCOL, broken);
		return UINT64_MAX;
	}
	am->got += n;
	a->identity += n;
	return n;
}

bool adapt_ahead_ended(struct adapt *a, const struct adapt_am *am)
{
	if (!adapt_ahead_pending(a, am))
		return true;
	adapt_fail(a, CALLOUT_CAUSE_PROTOCOL, broken);
	return false;
}

void adapt_ahead_rest(struct adapt *a)
{
	struct adapt_am *am = adapt_am_current(a);

	if (!a->identity_ok || !a->ahead_on || a->ahead <= a->identity)
		return;
	a->identity = a->rest_from = a->ahead;
	if (am)
		am->got = a->ahead;
}
