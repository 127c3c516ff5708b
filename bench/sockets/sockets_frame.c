/* SPDX-License-Identifier: BSD-3-Clause */
/* Chunks in frames of fixed width. */
#include "bench/sockets/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void digits(char *to, unsigned width, uint32_t v)
{
	while (width--) {
		to[width] = (char)('0' + v % 10);
		v /= 10;
	}
}

void sockets_head(char *to, uint32_t number, uint32_t offset, uint32_t len)
{
	memcpy(to, "data-have 0000000 1 000000000\r\n0000000:", SOCKETS_HEAD_LEN);
	digits(to + 10, 7, number % 10000000);
	digits(to + 20, 9, offset);
	digits(to + 31, 7, len);
}

void sockets_answer(char *to, uint32_t number, uint32_t offset, uint32_t len)
{
	memcpy(to, "data-as-is 0000000 1 000000000 0000000 1;\n", SOCKETS_ANSWER_LEN);
	digits(to + 11, 7, number % 10000000);
	digits(to + 21, 9, offset);
	digits(to + 31, 7, len);
}

static int wrong(const struct sockets_parser *p, const char *what)
{
	fprintf(stderr, "opes-bench-sockets: wrong %s of object %u at octet %u (length %u)\n", what,
		p->number, p->offset, p->length);
	return -EBADMSG;
}

/* The head must be the one that comes next: it is made anew and compared. */
static int parse_head(struct sockets_parser *p)
{
	uint32_t rest = p->object - p->offset;
	char want[SOCKETS_HEAD_LEN];

	p->length = rest < p->chunk ? rest : p->chunk;
	sockets_head(want, p->number, p->offset, p->length);
	if (memcmp(want, p->text, SOCKETS_HEAD_LEN))
		return wrong(p, "head");
	p->left = p->length;
	p->tail = SOCKETS_TAIL_LEN;
	p->chunks++;
	return 0;
}

static void parse_next(struct sockets_parser *p)
{
	p->head = 0;
	p->offset += p->length;
	if (p->offset == p->object) {
		p->offset = 0;
		p->number++;
	}
}

int sockets_parse(struct sockets_parser *p, const uint8_t *b, size_t n,
		  void (*each)(void *arg, uint32_t number, uint32_t offset, uint32_t len), void *arg)
{
	while (n) {
		size_t k;

		if (p->head < SOCKETS_HEAD_LEN) {
			k = SOCKETS_HEAD_LEN - p->head < n ? SOCKETS_HEAD_LEN - p->head : n;
			memcpy(p->text + p->head, b, k);
			p->head += (uint32_t)k;
			if (p->head == SOCKETS_HEAD_LEN && parse_head(p))
				return -EBADMSG;
		} else if (p->left) {
			const uint8_t *want = sockets_payload(p->number, p->object,
							      p->offset + p->length - p->left);

			k = p->left < n ? p->left : n;
			if (p->chunks % SOCKETS_VERIFY_EVERY == 1 && memcmp(want, b, k))
				return wrong(p, "payload");
			p->left -= (uint32_t)k;
		} else {
			k = p->tail < n ? p->tail : n;
			if (memcmp(&SOCKETS_TAIL[SOCKETS_TAIL_LEN - p->tail], b, k))
				return wrong(p, "tail");
			p->tail -= (uint32_t)k;
			if (!p->tail) {
				each(arg, p->number, p->offset, p->length);
				parse_next(p);
			}
		}
		b += k;
		n -= k;
	}
	return 0;
}
