/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections of our own, from an address that no kernel answers for:
 *
 *   bomb      every second octet only, one in a segment: all of it has to be kept and none can be used
 *   tiny      one octet in a segment, in order
 *   stall     asks for a large object and acknowledges nothing of it
 *   conflict  ten octets ahead of their turn, others for the same numbers, then what was missing; the far end echoes, and
 *             the first ten must be what comes back
 *
 * In the end every connection is reset with its exact number.
 */
#include "flood.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_NS 20000000000ull
#define SYN_AGAIN_NS 1000000000ull

struct flow {
	uint32_t iss, snd, rcv; /* snd: the next number in order */
	uint64_t syn_at;
	bool up, over;
	uint32_t got_n;
	char got[20];
};

struct flows {
	const struct flood_conf *c;
	struct flood_tx *x;
	int fd;
	struct flow *f;
	unsigned up, over;
	uint64_t acks, octets; /* received */
};

static void tell(struct flows *w, unsigned i, uint32_t seq, uint8_t flags, const void *payload, uint32_t len)
{
	struct flood_segment s = {.t = w->c->t, .seq = seq, .ack = flags & FLOOD_ACK ? w->f[i].rcv : 0, .flags = flags,
				  .window = 65000, .mss = flags & FLOOD_SYN ? 1460 : 0, .payload = payload, .len = len};

	s.t.sport = (uint16_t)(w->c->t.sport + i);
	flood_put(w->x, &s);
}

static void heard(struct flows *w, const struct flood_segment *s)
{
	unsigned i = (uint16_t)(s->t.dport - w->c->t.sport);
	struct flow *f = &w->f[i];

	if (s->t.src != w->c->t.dst || s->t.dst != w->c->t.src || s->t.sport != w->c->t.dport || i >= w->c->flows)
		return;
	if (s->flags & FLOOD_RST) {
		w->over += f->up && !f->over;
		f->over = true;
		return;
	}
	if (s->flags & FLOOD_SYN) {
		if (!f->up && s->ack == f->iss + 1) {
			f->up = true;
			w->up++;
			f->snd = f->iss + 1;
			f->rcv = s->seq + 1;
		}
		tell(w, i, f->snd, FLOOD_ACK, NULL, 0);
		return;
	}
	w->acks++;
	if (!f->up || !s->len || s->seq != f->rcv)
		return;
	w->octets += s->len;
	f->rcv += w->c->mode[0] == 's' ? 0 : s->len;
	if (w->c->mode[0] == 's')
		return;
	for (uint32_t k = 0; k < s->len && f->got_n < sizeof(f->got); k++)
		f->got[f->got_n++] = ((const char *)s->payload)[k];
	tell(w, i, f->snd, FLOOD_ACK, NULL, 0);
}

static void hear(struct flows *w)
{
	struct flood_seen seen;
	uint8_t buf[256];

	while (flood_sniff(w->fd, buf, sizeof(buf), &seen))
		if (!seen.outgoing)
			heard(w, &seen.s);
}

static void rest(struct flows *w, double seconds)
{
	uint64_t end = flood_now() + (uint64_t)(seconds * 1e9);

	flood_flush(w->x);
	while (flood_now() < end) {
		hear(w);
		flood_flush(w->x);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static void connect_all(struct flows *w, uint32_t *r)
{
	uint64_t end = flood_now() + CONNECT_NS;

	for (unsigned i = 0; i < w->c->flows; i++)
		w->f[i].iss = flood_random(r);
	while (w->up < w->c->flows && flood_now() < end) {
		for (unsigned i = 0; i < w->c->flows; i++) {
			struct flow *f = &w->f[i];

			if (!f->up && flood_now() - f->syn_at > SYN_AGAIN_NS) {
				f->syn_at = flood_now();
				tell(w, i, f->iss, FLOOD_SYN, NULL, 0);
			}
			if (i % 32 == 0) {
				flood_flush(w->x);
				hear(w);
			}
		}
		rest(w, 0.005);
	}
}

/* Round k of what a mode sends on flow i. */
static void attack(struct flows *w, unsigned i, unsigned k)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: t\r\n\r\n";
	struct flow *f = &w->f[i];

	if (!f->up || f->over)
		return;
	if (w->c->mode[0] == 'b') {
		tell(w, i, f->snd + 1 + 2 * k, FLOOD_ACK | FLOOD_PSH, "b", 1);
	} else if (w->c->mode[0] == 't') {
		tell(w, i, f->snd++, FLOOD_ACK | FLOOD_PSH, "t", 1);
	} else if (w->c->mode[0] == 's') {
		if (k == 0) {
			tell(w, i, f->snd, FLOOD_ACK | FLOOD_PSH, get, sizeof(get) - 1);
			f->snd += sizeof(get) - 1;
		}
	} else if (k == 0) {
		tell(w, i, f->snd + 10, FLOOD_ACK | FLOOD_PSH, "AAAAAAAAAA", 10);
		tell(w, i, f->snd + 10, FLOOD_ACK | FLOOD_PSH, "BBBBBBBBBB", 10);
		tell(w, i, f->snd + 5, FLOOD_ACK | FLOOD_PSH, "56789CCCCC", 10);
		tell(w, i, f->snd, FLOOD_ACK | FLOOD_PSH, "01234DDDDDEEEEEEEEEE", 20);
		f->snd += 20;
	}
}

int flood_flows(const struct flood_conf *c, struct flood_tx *x)
{
	struct flows w = {.c = c, .x = x, .fd = flood_sniff_open(c->dev), .f = calloc(c->flows, sizeof(struct flow))};
	unsigned right = 0, alive = 0;
	uint64_t sent;
	uint32_t r = c->seed;

	if (w.fd < 0 || !w.f) {
		fprintf(stderr, "opes-flood: cannot listen on %s\n", c->dev);
		free(w.f);
		return 1;
	}
	connect_all(&w, &r);
	printf("{\"connected\": %u}\n", w.up);
	fflush(stdout);
	sent = x->sent;
	x->begun_ns = flood_now();
	x->sent = 0;
	for (unsigned k = 0; k < c->segments; k++) {
		for (unsigned i = 0; i < c->flows; i++)
			attack(&w, i, k);
		flood_flush(x);
		hear(&w);
	}
	sent = x->sent;
	rest(&w, c->hold);
	for (unsigned i = 0; i < c->flows; i++) {
		right += w.f[i].got_n == 20 && memcmp(w.f[i].got, "0123456789AAAAAAAAAA", 20) == 0;
		alive += w.f[i].up && !w.f[i].over;
		if (w.f[i].up)
			tell(&w, i, w.f[i].snd, FLOOD_RST | FLOOD_ACK, NULL, 0);
	}
	flood_flush(x);
	printf("{\"mode\": \"%s\", \"sent\": %llu, \"up\": %u, \"alive\": %u, \"answers\": %llu, \"octets\": %llu, "
	       "\"right\": %u}\n", c->mode, (unsigned long long)sent, w.up, alive, (unsigned long long)w.acks,
	       (unsigned long long)w.octets, right);
	close(w.fd);
	free(w.f);
	return 0;
}
