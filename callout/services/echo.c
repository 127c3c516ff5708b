/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: every octet comes back by data-have, whether the processor keeps a copy or not. Nothing is held. The
 * predicted size is passed on, so that a processor can keep Content-Length.
 */
#include "callout/services/services.h"

static int echo_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	struct oc_adapted a = OC_ADAPTED_INIT;

	a.sizep = m->sizep;
	a.body = m->body;
	return oc_start_adapted(x, &a);
}

static void echo_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	oc_copy(x, d->part, d->offset, d->bytes, d->len);
	if (d->copied)
		oc_release(x, d->offset, d->len);
}

const struct oc_service_type service_echo = {
	.name = "echo",
	.uri = "urn:opes:service:echo",
	.summary = "sends every octet back",
	.never_refers = true,
	.start = echo_start,
	.data = echo_data,
};
