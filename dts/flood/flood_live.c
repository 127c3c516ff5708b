/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Garbage into a live flow by somebody who hears it. Three kinds in turn:
 *
 *   old      numbers that were acknowledged before, with a right acknowledgement of its own
 *   no-ack   numbers in the window, before and behind what was sent, with an acknowledgement that cannot be (RFC 5961 5.2)
 *   outside  far from the window, with a right acknowledgement
 *
 * None of it may show at either end. What would show - octets that nobody has sent yet, with a right acknowledgement -
 * is not sent here: of those the first wins, whoever sends them.
 */
#include "flood.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_NS 10000000000ull

struct heard {
	uint32_t next; /* one past the highest number the end has sent */
	uint32_t una;  /* of them acknowledged */
	uint32_t ack;  /* what the end acknowledged last */
	bool sent, answered;
};

static bool is(const struct flood_tuple *a, const struct flood_tuple *b)
{
	return a->src == b->src && a->dst == b->dst && a->sport == b->sport && a->dport == b->dport;
}

static void listen_on(int fd, const struct flood_tuple *t, struct heard *h)
{
	const struct flood_tuple back = {t->dst, t->src, t->dport, t->sport};
	struct flood_seen seen;
	uint8_t buf[128];

	for (unsigned i = 0; i < 256 && flood_sniff(fd, buf, sizeof(buf), &seen); i++) {
		uint32_t end = seen.s.seq + seen.s.len;

		if (!(seen.s.flags & FLOOD_ACK) || (seen.s.flags & (FLOOD_RST | FLOOD_SYN)))
			continue;
		if (is(&seen.s.t, t)) {
			h->next = !h->sent || (int32_t)(end - h->next) > 0 ? end : h->next;
			h->ack = seen.s.ack;
			h->sent = true;
		} else if (is(&seen.s.t, &back)) {
			h->una = seen.s.ack;
			h->answered = true;
		}
	}
}

int flood_live(const struct flood_conf *c, struct flood_tx *x)
{
	int fd = flood_sniff_open(c->dev);
	static uint8_t junk[FLOOD_PAYLOAD];
	struct heard h = {0};
	uint64_t begun = flood_now(), kind[3] = {0};
	uint32_t r = c->seed;

	if (fd < 0) {
		fprintf(stderr, "opes-flood: cannot listen on %s\n", c->dev);
		return 1;
	}
	for (unsigned i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)flood_random(&r);
	while (!h.sent || !h.answered) {
		listen_on(fd, &c->t, &h);
		if (flood_now() - begun > WAIT_NS) {
			fprintf(stderr, "opes-flood: nothing was heard of the flow\n");
			return 1;
		}
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	x->begun_ns = flood_now();
	for (uint64_t i = 0; i < c->count; i++) {
		struct flood_segment s = {.t = c->t, .flags = FLOOD_ACK | FLOOD_PSH, .window = 65535, .payload = junk};
		uint32_t len = 1 + flood_random(&r) % 1400;

		if (i % 16 == 0) {
			flood_flush(x);
			listen_on(fd, &c->t, &h);
		}
		s.len = len;
		s.ack = h.ack;
		switch (i % 3) {
		case 0:
			s.seq = h.una - len - flood_random(&r) % 60000;
			break;
		case 1:
			s.seq = h.una - 2000 + flood_random(&r) % 20000;
			s.ack = h.ack + 0x40000000u + flood_random(&r) % 0x40000000u;
			break;
		default:
			s.seq = h.una + 0x20000000u + flood_random(&r) % 0xc0000000u;
			break;
		}
		kind[i % 3]++;
		flood_put(x, &s);
	}
	flood_flush(x);
	close(fd);
	printf("{\"mode\": \"%s\", \"sent\": %llu, \"seconds\": %.3f, \"old\": %llu, \"no_ack\": %llu, \"outside\": %llu}\n",
	       c->mode, (unsigned long long)x->sent, (double)(flood_now() - x->begun_ns) / 1e9,
	       (unsigned long long)kind[0], (unsigned long long)kind[1], (unsigned long long)kind[2]);
	return 0;
}
