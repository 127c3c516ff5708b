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

/* SYN or SYN/ACK: note what it offers. False: a flow we must not split. */
static bool syn_note(struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s,
		     uint8_t *hdr, uint16_t mss_max, bool ipv6)
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
	hs->isn[side] = s->seq;
	hs->syn_wnd[side] = s->window;
	hs->wnd[side] = s->window;
	hs->mss[side] = o.mss ? o.mss : ipv6 ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;
	if (hs->mss[side] > mss_max)
		hs->mss[side] = mss_max;
	if (hs->mss[side] < MSS_MIN)
		hs->mss[side] = MSS_MIN;
	hs->has_wscale[side] = o.has_wscale;
	hs->wscale[side] = o.wscale;
	hs->sack[side] = o.sack;
	return true;
}

static enum tcp_hs_verdict client_syn(struct tcp_handshake *hs, const struct tcp_segment *s,
				      uint8_t *hdr, uint16_t mss_max, bool ipv6, uint64_t now_us)
{
	bool again = hs->state != TCP_HS_NONE && hs->isn[0] == s->seq;

	if (!again) {
		memset(hs, 0, sizeof(*hs));
		hs->state = TCP_HS_SYN_SEEN;
	}
	if (!syn_note(hs, 0, s, hdr, mss_max, ipv6))
		return TCP_HS_BYPASS;
	hs->again |= again ? 1u << 1 : 0; /* the server's answer cannot be told apart */
	hs->syn_us = now_us;
	return TCP_HS_FORWARD;
}

static enum tcp_hs_verdict server_synack(struct tcp_handshake *hs, const struct tcp_segment *s,
					 uint8_t *hdr, uint16_t mss_max, bool ipv6, uint64_t now_us)
{
	bool again = hs->state == TCP_HS_SYNACK_SEEN && hs->isn[1] == s->seq;

	/* Not an answer to this SYN: the client resets it (RFC 9293 3.10.7.3). */
	if (s->ack != hs->isn[0] + 1)
		return TCP_HS_FORWARD;
	if (!syn_note(hs, 1, s, hdr, mss_max, ipv6))
		return TCP_HS_BYPASS;
	if (again)
		hs->again |= 1u << 0;
	else
		hs->synack_us = now_us;
	hs->state = TCP_HS_SYNACK_SEEN;
	return TCP_HS_FORWARD;
}

/* A RST ends the handshake if the end it goes to will believe it (RFC 9293 3.10.7.3, RFC 5961). */
static void reset_note(struct tcp_handshake *hs, unsigned side, const struct tcp_segment *s)
{
	if (hs->state == TCP_HS_SYN_SEEN && side == 1) {
		if ((s->flags & TCP_F_ACK) && s->ack == hs->isn[0] + 1)
			hs->state = TCP_HS_RESET;
	} else if (hs->state == TCP_HS_SYN_SEEN || hs->state == TCP_HS_SYNACK_SEEN) {
		if (s->seq == hs->isn[side] + 1)
			hs->state = TCP_HS_RESET;
	}
}

static enum tcp_hs_verdict client_ack(struct tcp_handshake *hs, const struct tcp_segment *s,
				      uint64_t now_us)
{
	uint32_t ahead = s->seq - (hs->isn[0] + 1);

	/* The server will reset what acknowledges something else. */
	if (s->ack != hs->isn[1] + 1)
		return TCP_HS_FORWARD;
	/* Beyond what the server offered: not of this connection. */
	if (ahead > hs->syn_wnd[1])
		return TCP_HS_DROP;
	hs->wnd[0] = s->window;
	if (hs->has_wscale[0] && hs->has_wscale[1])
		hs->wnd[0] <<= hs->wscale[0];
	hs->ack_us = now_us;
	hs->state = TCP_HS_DONE;
	return TCP_HS_ESTABLISHED;
}

enum tcp_hs_verdict tcp_handshake_input(struct tcp_handshake *hs, unsigned side,
					const struct tcp_segment *s, uint8_t *hdr, uint16_t mss_max,
					bool ipv6, uint64_t now_us)
{
	bool syn = s->flags & TCP_F_SYN, ack = s->flags & TCP_F_ACK;

	if (hs->state == TCP_HS_DONE || hs->state == TCP_HS_RESET)
		return TCP_HS_DROP;
	if (s->flags & TCP_F_RST) {
		reset_note(hs, side, s);
		return TCP_HS_FORWARD;
	}
	if (syn && (s->flags & TCP_F_FIN))
		return TCP_HS_DROP;
	if (syn && !ack) {
		if (side == 0)
			return client_syn(hs, s, hdr, mss_max, ipv6, now_us);
		return TCP_HS_BYPASS; /* simultaneous open has no client and no server */
	}
	if (hs->state == TCP_HS_NONE)
		return TCP_HS_BYPASS; /* in mid-flow */
	if (syn && side == 1)
		return server_synack(hs, s, hdr, mss_max, ipv6, now_us);
	if (syn)
		return TCP_HS_DROP;
	if (side == 0 && ack && hs->state == TCP_HS_SYNACK_SEEN)
		return client_ack(hs, s, now_us);
	/* A challenge ACK of an old connection, a stray: the ends settle it among themselves. */
	return ack ? TCP_HS_FORWARD : TCP_HS_DROP;
}

void tcp_handshake_params(const struct tcp_handshake *hs, unsigned side, struct tcp_params *p)
{
	unsigned other = !side;

	memset(p, 0, sizeof(*p));
	p->snd_nxt = hs->isn[other] + 1;
	p->rcv_nxt = hs->isn[side] + 1;
	p->snd_wnd = hs->wnd[side];
	p->rcv_wnd = hs->syn_wnd[other];
	p->mss = hs->mss[side];
	p->rcv_mss = hs->mss[other];
	p->wscale = hs->has_wscale[0] && hs->has_wscale[1];
	if (p->wscale) {
		p->snd_wscale = hs->wscale[side];
		p->rcv_wscale = hs->wscale[other];
	}
	p->sack = hs->sack[0] && hs->sack[1];
	if (!(hs->again & (1u << side))) {
		uint64_t rtt = side ? hs->synack_us - hs->syn_us : hs->ack_us - hs->synack_us;

		p->srtt_us = rtt == 0 ? 1 : rtt > UINT32_MAX ? 0 : (uint32_t)rtt;
	}
}
