/* SPDX-License-Identifier: BSD-3-Clause */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int oc_hold_room_ranges(struct oc_hold *h)
{
	uint32_t cap = h->cap ? h->cap * 2 : 4;
	struct oc_hold_range *r;

	if (h->first + h->count < h->cap)
		return 0;
	if (h->first) {
		memmove(h->ranges, h->ranges + h->first, h->count * sizeof(*r));
		h->first = 0;
		return 0;
	}
	r = realloc(h->ranges, cap * sizeof(*r));
	if (!r)
		return -ENOMEM;
	h->ranges = r;
	h->cap = cap;
	return 0;
}

static int oc_hold_room_bytes(struct oc_hold *h, size_t len)
{
	size_t cap = h->bytes_cap ? h->bytes_cap : 4096;
	uint8_t *b;

	if (h->bytes_first + h->bytes_len + len <= h->bytes_cap)
		return 0;
	if (h->bytes_first >= h->bytes_len && h->bytes_len + len <= h->bytes_cap) {
		memcpy(h->bytes, h->bytes + h->bytes_first, h->bytes_len);
		h->bytes_first = 0;
		return 0;
	}
	while (cap < h->bytes_first + h->bytes_len + len)
		cap *= 2;
	b = realloc(h->bytes, cap);
	if (!b)
		return -ENOMEM;
	h->bytes = b;
	h->bytes_cap = cap;
	return 0;
}

int oc_hold_add(struct oc_hold *h, struct oc_xaction *x, const struct oc_data *d)
{
	bool kept = !oc_committed(x, d->offset, d->len);
	struct oc_hold_range *r;

	if (oc_hold_room_ranges(h) != 0 || (kept && oc_hold_room_bytes(h, d->len) != 0))
		return -ENOMEM;
	if (kept) {
		memcpy(h->bytes + h->bytes_first + h->bytes_len, d->bytes, d->len);
		h->bytes_len += d->len;
	}
	h->total += d->len;
	r = h->count ? &h->ranges[h->first + h->count - 1] : NULL;
	if (r && r->kept == kept && r->part == d->part && r->offset + r->size == d->offset) {
		r->size += d->len;
		return 0;
	}
	h->ranges[h->first + h->count++] = (struct oc_hold_range){d->offset, d->len, d->part, kept};
	return 0;
}

int oc_hold_forward(struct oc_hold *h, struct oc_xaction *x, uint64_t size)
{
	int rc = 0;

	while (rc == 0 && size && h->count) {
		struct oc_hold_range *r = &h->ranges[h->first];
		uint64_t n = r->size < size ? r->size : size;

		if (r->kept) {
			rc = oc_send(x, r->part, h->bytes + h->bytes_first, n, false);
			h->bytes_first += n;
			h->bytes_len -= n;
		} else {
			rc = oc_as_is(x, r->part, r->offset, n);
			if (rc == 0)
				rc = oc_release(x, r->offset, n);
			else if (rc == -EPERM) /* the processor broke its word: these octets are nowhere any more */
				oc_abort(x, "octets that the processor was to keep are kept no more");
		}
		r->offset += n;
		r->size -= n;
		h->total -= n;
		size -= n;
		if (!r->size) {
			h->first++;
			h->count--;
		}
	}
	if (!h->count)
		h->first = 0;
	if (!h->bytes_len)
		h->bytes_first = 0;
	return rc;
}

void oc_hold_free(struct oc_hold *h)
{
	free(h->ranges);
	free(h->bytes);
	memset(h, 0, sizeof(*h));
}
