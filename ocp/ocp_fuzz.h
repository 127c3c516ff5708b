/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fuzz targets of both agents share: a sink that checks our own output, and choices. */
#ifndef OCP_FUZZ_H
#define OCP_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	void *agent;
	struct ocp_decoder *check; /* <52>: everything we send is well-formed */
	void (*sent)(struct fuzz *f, const struct ocp_msg *m); /* NULL: not looked at */
	uint32_t x;
	uint32_t xids[16]; /* transactions the owner knows as open */
	unsigned n;
	bool closed;
	uint64_t now;
};

static inline uint32_t choice(struct fuzz *f, uint32_t n)
{
	f->x = f->x * 1664525 + 1013904223;
	return (f->x >> 16) % n;
}

static inline void check_piece(struct fuzz *f, const void *p, size_t len)
{
	const uint8_t *at = p;
	struct ocp_event ev;

	do {
		size_t n = ocp_decoder_feed(f->check, at, len, &ev);

		MUST(ev.type != OCP_EVENT_BAD);
		MUST(ev.type != OCP_EVENT_MESSAGE || ev.msg->type != OCP_MSG_UNKNOWN);
		if (ev.type == OCP_EVENT_MESSAGE && f->sent)
			f->sent(f, ev.msg);
		at = n ? at + n : at;
		len -= n;
	} while (ev.type != OCP_EVENT_NEED_MORE);
}

static inline int fuzz_output(void *ctx, const struct ocp_output *o)
{
	struct fuzz *f = ctx;

	MUST(!f->closed);
	check_piece(f, o->head, o->head_len);
	check_piece(f, o->payload, o->payload_len);
	check_piece(f, o->tail, o->tail_len);
	MUST(ocp_decoder_idle(f->check));
	return choice(f, 5000) ? 0 : -1;
}

static inline void fuzz_closed(void *ctx, enum ocp_end how, const struct ocp_result *r)
{
	struct fuzz *f = ctx;

	MUST(!f->closed); /* INV-OCP-P3 */
	MUST(!f->n);
	f->closed = true;
}

static inline void forget(struct fuzz *f, uint32_t xid)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (f->xids[i] == xid) {
			f->xids[i] = f->xids[--f->n];
			return;
		}
	}
	__builtin_trap(); /* ended twice, or never begun */
}

/* Pieces of random length, each its own allocation so that the sanitizer sees its ends. */
static inline void fuzz_run(struct fuzz *f, const uint8_t *data, size_t size,
			    int (*input)(struct fuzz *f, const void *p, size_t n),
			    void (*between)(struct fuzz *f))
{
	while (size) {
		size_t n = 1 + choice(f, choice(f, 3) ? 4096 : 9);
		uint8_t *piece;

		if (n > size)
			n = size;
		piece = malloc(n);
		memcpy(piece, data, n);
		input(f, piece, n);
		free(piece);
		data += n;
		size -= n;
		f->now += choice(f, 4) ? 1 : 600000;
		between(f);
	}
}
#endif
