/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * as-is: preserved octets come back by reference (data-as-is), followed by data-ack with wont-forward so that the
 * processor may drop its copy; other octets by data-have. With leave=yes the service leaves the loop
 * at the first octets it may.
 */
#include "callout/services/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct as_is_config {
	bool leave;
};

static int as_is_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct as_is_config *c = calloc(1, sizeof(*c));

	if (!c)
		return oc_error(err, -ENOMEM, "as-is: out of memory");
	for (size_t i = 0; i < n; i++) {
		bool yes = strcmp(o[i].value, "yes") == 0;

		if (strcmp(o[i].key, "leave") != 0 || (!yes && strcmp(o[i].value, "no") != 0)) {
			free(c);
			return oc_error(err, -EINVAL, "as-is: '%s=%s': leave=yes or leave=no expected",
					o[i].key, o[i].value);
		}
		c->leave = yes;
	}
	*config = c;
	return 0;
}

static int as_is_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	struct oc_adapted a = OC_ADAPTED_INIT;

	a.sizep = m->sizep;
	a.body = m->body;
	a.modp = 0;
	return oc_start_adapted(x, &a);
}

static void as_is_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	const struct as_is_config *c = oc_config(x);

	if (c->leave && d->last) { /* what is given up cannot be left with */
		if (oc_as_is(x, d->part, d->offset, d->len) != 0)
			oc_copy(x, d->part, d->offset, d->bytes, d->len);
		if (oc_leave_loop(x) != 0)
			oc_release(x, d->offset, d->len);
		return;
	}
	oc_forward(x, d->part, d->offset, d->bytes, d->len);
}

const struct oc_service_type service_as_is = {
	.name = "as-is",
	.uri = "urn:opes:service:as-is",
	.summary = "refers to what the processor preserves instead of sending it back",
	.options = "  leave=yes|no   leave the loop as soon as the processor allows it (no)\n",
	.configure = as_is_configure,
	.unconfigure = free,
	.start = as_is_start,
	.data = as_is_data,
};
