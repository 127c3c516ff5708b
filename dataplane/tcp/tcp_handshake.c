/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_handshake.h"

#include <string.h>

#include "tcp/tcp_internal.h"

#define MSS_DEFAULT_V4 536 /* RFC 9293 3.7.1 */
#define MSS_DEFAULT_V6 1220
#define MSS_MIN 48    /* less buys the sender nothing but work for everyone */
#define WSCALE_MAX 14 /* RFC 7323 2.3 */

/* Options of one SYN. */
struct syn_options {
	uint16_t mss; /* 0 = none */
	uint8_t wscale;
	bool has_wscale;
	bool sack;
	bool authenticated; /* MD5 or AO */
};

/* Reads what we can serve and turns everything else into NOPs. */
static void options_rewrite(struct syn_options *o, uint8_t *hdr, unsigned hlen, uint16_t mss_max)
{
	unsigned off = TCP_HDR_MIN, len;
	uint8_t *opt;

	memset(o, 0, sizeof(*o));
	while (off < hlen && hdr[off] != TCP_OPT_END) {
		opt = hdr + off;
		if (opt[0] == TCP_OPT_NOP) {
			off++;
			continue;
		}
		len = off + 2 <= hlen ? opt[1] : 0;
		if (len < 2 || off + len > hlen)
			break;
		off += len;
		if (opt[0] == TCP_OPT_MSS && len == 4 && !o->mss) {
			o->mss = get_be16(opt + 2);
			if (o->mss > mss_max) {
				o->mss = mss_max;
				put_be16(opt + 2, mss_max);
			}
		} else if (opt[0] == TCP_OPT_WSCALE && len == 3 && !o->has_wscale) {
			o->has_wscale = true;
			o->wscale = opt[2] > WSCALE_MAX ? WSCALE_MAX : opt[2];
		} else if (opt[0] == TCP_OPT_SACK_OK && len == 2) {
			o->sack = true;
		} else {
			o->authenticated |= opt[0] == TCP_OPT_MD5 || opt[0] == TCP_OPT_AO;
			memset(opt, TCP_OPT_NOP, len);
		}
	}
	/* What could not be parsed is not for the other end to guess at. */
	if (off < hlen)
		memset(hdr + off, TCP_OPT_END, hlen - off);
}

/* Rewrites the options of a SYN or SYN/ACK; *y: what it offers. False: a flow we must not split, hdr is as it was. */
static bool syn_rewrite(struct tcp_hs_syn *y, const struct tcp_segment *s, uint8_t *hdr, uint16_t mss_max, bool ipv6)
{
	struct syn_options o;
	uint8_t whole[60];

	/* Kept aside: a segment that goes by unsplit must go by unchanged. */
	memcpy(whole, hdr, s->header_len);
	options_rewrite(&o, hdr, s->header_len, mss_max);
	if (o.authenticated) {
		memcpy(hdr, whole, s->header_len);
		return false;
	}
	hdr[12] &= 0xf0; /* no ECN (RFC 3168, accurate ECN): the halves do not echo marks */
	hdr[13] &= (uint8_t) ~(TCP_F_ECE | TCP_F_CWR);
	memset(y, 0, sizeof(*y));
	y->seen = true;
	y->isn = s->seq;
	y->window = s->window;
	y->mss = o.mss ? o.mss : ipv6 ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;
	if (y->mss > mss_max)
		y->mss = mss_max;
	if (y->mss < MSS_MIN)
		y->mss = MSS_MIN;
	y->has_wscale = o.has_wscale;
	y->wscale = o.wscale;
	y->sack = o.sack;
	return true;
}

/* A SYN or SYN/ACK of side. keep: the one we have is confirmed, a new one is the other. True: it came before. */
static bool syn_note(struct tcp_handshake *hs, unsigned side, const struct tcp_hs_syn *y, bool keep)
{
	if (!hs->syn[side].seen || hs->syn[side].isn == y->isn) {
		bool again = hs->syn[side].seen;

		hs->syn[side] = *y;
		return again;
	}
	if (hs->other[side].seen && hs->other[side].isn == y->isn) {
		hs->other[side] = *y;
		return true;
	}
	if (keep) {
		hs->other[side] = *y;
	} else {
		hs->other[side] = hs->syn[side];
		hs->syn[side] = *y;
	}
	return false;
}

/* Does ack acknowledge a SYN of side? That one is then the one that counts. *changed: it was not before. */
static bool syn_acked(struct tcp_handshake *hs, unsigned side, uint32_t ack, bool *changed)
{
	struct tcp_hs_syn y = hs->syn[side];

	*changed = false;
	if (y.seen && ack == y.isn + 1)
		return true;
	if (!hs->other[side].seen || ack != hs->other[side].isn + 1)
		return false;
	hs->syn[side] = hs->other[side];
	hs->other[side] = y;
	*changed = true;
	return true;
}

static enum tcp_hs_verdict plain_syn(struct tcp_handshake *hs, unsigned side, const struct tcp_hs_syn *y, uint64_t now_us)
{
	/* A server that has answered does not open a connection of its own on these ports. */
	if (side == 1 && hs->state == TCP_HS_SYNACK_SEEN)
		return TCP_HS_DROP;
	if (hs->syn[side].seen)
		hs->again |= 1u << !side; /* which one an answer is for cannot be told */
	syn_note(hs, side, y, hs->state == TCP_HS_SYNACK_SEEN || hs->acked != 0);
	if (hs->state == TCP_HS_NONE) {
		hs->state = TCP_HS_SYN_SEEN;
	} else if (side == 1) {
		hs->state = TCP_HS_SYNS_CROSSED;
		hs->again = 3;
	}
	hs->syn_us = now_us;
	return TCP_HS_FORWARD;
}

/* side has acknowledged the other's SYN. */
static enum tcp_hs_verdict crossed_acked(struct tcp_handshake *hs, unsigned side, uint32_t window)
{
	hs->acked |= (uint8_t)(1u << side);
	if (side == 0)
		hs->wnd = window;
	if (hs->acked != 3)
		return TCP_HS_FORWARD;
	hs->state = TCP_HS_DONE;
	return TCP_HS_ESTABLISHED;
}

static enum tcp_hs_verdict synack(struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s,
				  const struct tcp_hs_syn *y, uint64_t now_us)
{
	bool changed;

	if (side == 0 && hs->state != TCP_HS_SYNS_CROSSED)
		return TCP_HS_DROP;
	/* Not an answer to any SYN that counts: its receiver resets it (RFC 9293 3.10.7.3, figure 9). */
	if (!syn_acked(hs, !side, s->ack, &changed))
		return TCP_HS_FORWARD;
	if (hs->state == TCP_HS_SYNS_CROSSED) {
		if (y->isn == hs->syn[side].isn)
			return crossed_acked(hs, side, s->window);
		if (side == 0)
			return TCP_HS_FORWARD; /* for a SYN that is no longer the one */
		/* The SYN from that side was not of the end that answers now. */
		changed = true;
	}
	if (changed || hs->state != TCP_HS_SYNACK_SEEN) {
		hs->syn[1] = *y;
		hs->other[1].seen = false;
		hs->synack_us = now_us;
	} else {
		syn_note(hs, 1, y, true);
		hs->again |= 1u << 0;
	}
	hs->state = TCP_HS_SYNACK_SEEN;
	return TCP_HS_FORWARD;
}

/* A RST ends the handshake if the end it goes to will believe it (RFC 9293 3.10.7.3, RFC 5961 3.2). */
static void reset_note(struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s)
{
	/* In SYN-SENT only what acknowledges the SYN counts, after that only the very next number. */
	bool by_ack = (s->flags & TCP_F_ACK) && hs->state != TCP_HS_SYNACK_SEEN, changed;
	bool by_seq = side == 0 || hs->state != TCP_HS_SYN_SEEN;

	if (hs->state == TCP_HS_NONE)
		return;
	if (by_ack && syn_acked(hs, !side, s->ack, &changed)) {
		/* The other SYN is still without an answer. */
		if (hs->other[!side].seen) {
			hs->syn[!side] = hs->other[!side];
			hs->other[!side].seen = false;
			return;
		}
		hs->state = TCP_HS_RESET;
	} else if (by_seq && hs->syn[side].seen && s->seq == hs->syn[side].isn + 1) {
		hs->state = TCP_HS_RESET;
	} else if (by_seq && hs->other[side].seen && s->seq == hs->other[side].isn + 1) {
		hs->other[side].seen = false;
	}
}

static uint32_t scaled(const struct tcp_handshake *hs, unsigned side, uint16_t window)
{
	bool both = hs->syn[0].has_wscale && hs->syn[1].has_wscale;

	return both ? (uint32_t)window << hs->syn[side].wscale : window;
}

/* Lies s within what the other end offered in its SYN? */
static bool in_window(const struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s)
{
	return s->seq - (hs->syn[side].isn + 1) <= hs->syn[!side].window;
}

static enum tcp_hs_verdict plain_ack(struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s, uint64_t now_us)
{
	bool changed, empty = s->len == 0 && !(s->flags & TCP_F_FIN);

	if (hs->state == TCP_HS_NONE)
		return TCP_HS_BYPASS; /* in mid-flow */
	if (hs->state == TCP_HS_SYNACK_SEEN && side == 0 && syn_acked(hs, 1, s->ack, &changed)) {
		if (!in_window(hs, 0, s))
			return TCP_HS_DROP;
		hs->wnd = scaled(hs, 0, s->window);
		hs->ack_us = now_us;
		if (changed)
			hs->again |= 1u << 0;
		hs->state = TCP_HS_DONE;
		return TCP_HS_ESTABLISHED;
	}
	if (hs->state == TCP_HS_SYNS_CROSSED && syn_acked(hs, !side, s->ack, &changed) && in_window(hs, side, s) &&
	    (empty || hs->acked & (1u << !side)))
		return crossed_acked(hs, side, scaled(hs, side, s->window));
	/* A challenge ACK of an old connection, a stray: the ends settle it among themselves, without data (INV-HS-1). */
	return empty ? TCP_HS_FORWARD : TCP_HS_DROP;
}

enum tcp_hs_verdict tcp_handshake_input(struct tcp_handshake *hs, unsigned side,
					const struct tcp_segment *s, uint8_t *hdr, uint16_t mss_max,
					bool ipv6, uint64_t now_us)
{
	struct tcp_hs_syn y;

	if (hs->state == TCP_HS_DONE || hs->state == TCP_HS_RESET || tcp_flags_bad(s->flags))
		return TCP_HS_DROP;
	if (s->flags & TCP_F_RST) {
		reset_note(hs, side, s);
		return TCP_HS_FORWARD;
	}
	if (!(s->flags & TCP_F_SYN))
		return plain_ack(hs, side, s, now_us);
	if (hs->state == TCP_HS_NONE && (side == 1 || s->flags & TCP_F_ACK))
		return TCP_HS_BYPASS; /* its beginning was not seen */
	/* Later, MD5 or AO is no reason to let go of a flow: its first SYN had neither, so this cannot be its own. */
	if (!syn_rewrite(&y, s, hdr, mss_max, ipv6))
		return hs->state == TCP_HS_NONE ? TCP_HS_BYPASS : TCP_HS_DROP;
	if (s->flags & TCP_F_ACK)
		return synack(hs, side, s, &y, now_us);
	return plain_syn(hs, side, &y, now_us);
}

void tcp_handshake_params(const struct tcp_handshake *hs, unsigned side, struct tcp_params *p)
{
	const struct tcp_hs_syn *peer = &hs->syn[side], *far = &hs->syn[!side];

	memset(p, 0, sizeof(*p));
	p->snd_nxt = far->isn + 1;
	p->rcv_nxt = peer->isn + 1;
	p->snd_wnd = side == 0 ? hs->wnd : peer->window;
	p->rcv_wnd = far->window;
	p->mss = peer->mss;
	p->rcv_mss = far->mss;
	p->wscale = hs->syn[0].has_wscale && hs->syn[1].has_wscale;
	if (p->wscale) {
		p->snd_wscale = peer->wscale;
		p->rcv_wscale = far->wscale;
	}
	p->sack = hs->syn[0].sack && hs->syn[1].sack;
	if (!(hs->again & (1u << side))) {
		uint64_t rtt = side ? hs->synack_us - hs->syn_us : hs->ack_us - hs->synack_us;

		p->srtt_us = rtt == 0 ? 1 : rtt > UINT32_MAX ? 0 : (uint32_t)rtt;
	}
}
