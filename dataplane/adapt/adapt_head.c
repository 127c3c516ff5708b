/* SPDX-License-Identifier: BSD-3-Clause */
/* The head that a service of the dialect core hears. */
#include "adapt_priv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool field_is(const struct http1_head *h, const struct http1_field *f, const char *name)
{
	return f->name.len == strlen(name) && strncasecmp(h->buf + f->name.off, name, f->name.len) == 0;
}

int adapt_service_head(struct adapt_ctx *c, const struct http1_head *h, struct chunkq *q)
{
	char *out = c->scratch;
	uint32_t n = h->start_line.len;

	memcpy(out, h->buf + h->start_line.off, n);
	memcpy(out + n, "\r\n", 2);
	n += 2;
	for (uint32_t i = 0; i < h->nfields; i++) {
		const struct http1_field *f = &h->field[i];

		if (field_is(h, f, "Transfer-Encoding"))
			continue;
		memcpy(out + n, h->buf + f->line.off, f->line.len);
		n += f->line.len;
	}
	memcpy(out + n, "\r\n", 2);
	return chunkq_put(c->pool, q, out, n + 2);
}

int adapt_head_strip(struct adapt *a, struct chunkq *q)
{
	struct chunkq text;

	chunkq_init(&text);
	if (adapt_service_head(a->ctx, a->head, &text) != 0)
		return -ENOMEM;
	chunkq_append(&a->orig_head, q);
	a->head_len = text.bytes;
	chunkq_append(q, &text);
	return 0;
}
