/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every kind of segment in every state of a half: what it answers, with which numbers, the state after it, the events,
 * the octets delivered - and nothing else. Written from RFC 9293 3.10.7 and RFC 5961, not from the code.
 *
 * The table below is one line for a kind of segment and one column for a state; a test of its own is made of each cell,
 * named STATE/KIND, run with SACK and without. Both sides' numbers wrap in it.
 *
 * Where a row begins:
 *
 *   U = snd_una, N = snd_nxt: 500 octets of ours are under way, and our FIN where it was sent;
 *       in FIN_WAIT_2 and TIME_WAIT all of it is acknowledged (U == N)
 *   R = rcv_nxt: 1000 octets came before it, taken; the peer's FIN where the state says so
 *   W = the right edge of the window that was offered
 *
 * After it the row goes on for two steps, so that a segment that was rightly refused has left no mark either: the
 * peer's next octets arrive, its acknowledgement of all of ours has its effect.
 *
 * A closed half answers nothing (RFC 9293 3.10.7.1 would have a reset sent): its owner forgets the flow, and what comes
 * then crosses to the real end, which answers for itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/mem_testing.h"
#include "tcp/tcp.h"

#define ISS 0xffffff00u
#define IRS 0xfffffe00u
#define MSS 1000u
#define FLIGHT 500u
#define WINDOW 15000u /* as on the wire, to be shifted by 2 */
#define MAX_WND (WINDOW << 2)

/* What a cell says. Each of RE, DA, OO, FI asks for exactly one ACK <SEQ=N><ACK=rcv_nxt>, the others for silence. */
#define __ 0x00 /* nothing at all */
#define RE 0x01 /* an ACK that says where we are: challenge or duplicate */
#define DA 0x02 /* the octets from R on are delivered */
#define OO 0x04 /* the octets are kept: the ACK stays, SACK names them */
#define FI 0x08 /* the peer's FIN is taken */
#define AC 0x10 /* its ACK is taken: U moves on to it */
#define KI 0x20 /* the connection is over */

enum { SEQ_R, SEQ_W };
enum { ACK_U, ACK_N };

struct kind {
	const char *name, *clause;
	uint8_t flags;
	uint8_t seq_of;
	int32_t seq;
	uint32_t len;
	uint8_t ack_of;
	int32_t ack;
	uint16_t window, urgent;
	uint8_t react[8]; /* by enum tcp_state */
};

#define A TCP_F_ACK
#define S TCP_F_SYN
#define F TCP_F_FIN
#define X TCP_F_RST
#define P TCP_F_PSH
#define G TCP_F_URG
#define TOO_OLD (-(int32_t)MAX_WND - 1000)

#define C10_4 "RFC 9293 3.10.7.4"
static const struct kind kinds[] = {
	/* name, clause, flags, seq, len, ack, window, urgent
	 *                                                          EST  FW1   FW2  CW   CLSG  LACK  TW  CLOSED */
	{"ack-duplicate", C10_4 ", ACK: ignored", A, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"ack-duplicate-push", C10_4, A | P, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"ack-all", C10_4 ", ACK", A, SEQ_R, 0, 0, ACK_N, 0, WINDOW, 0,	{AC, AC,    __, AC, AC,    AC,    __, __}},
	{"ack-some", C10_4 ", ACK; beyond SND.NXT where all was acknowledged", A, SEQ_R, 0, 0, ACK_U, 200, WINDOW, 0,
									{AC, AC,    RE, AC, AC,    AC,    RE, __}},
	{"ack-beyond", C10_4 ", ACK: of something not yet sent", A, SEQ_R, 0, 0, ACK_N, 1, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-beyond-with-data", C10_4 ", ACK: drop the segment", A, SEQ_R, 0, 100, ACK_N, 1000, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-beyond-with-fin", C10_4 ", ACK: drop the segment", A | F, SEQ_R, 0, 0, ACK_N, 1, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-old", "RFC 5961 5.2: within MAX.SND.WND", A, SEQ_R, 0, 0, ACK_U, -100, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"ack-old-with-data", "RFC 5961 5.2: within MAX.SND.WND", A, SEQ_R, 0, 100, ACK_U, -100, WINDOW, 0,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"ack-too-old", "RFC 5961 5.2", A, SEQ_R, 0, 0, ACK_U, TOO_OLD, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-too-old-with-data", "RFC 5961 5.2: blind data injection", A, SEQ_R, 0, 100, ACK_U, TOO_OLD, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-too-old-with-fin", "RFC 5961 5.2", A | F, SEQ_R, 0, 0, ACK_U, TOO_OLD, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-far-side", "RFC 5961 5.2: half the numbers away", A, SEQ_R, 0, 10, ACK_U, INT32_MIN, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"ack-right-of-window", C10_4 ", first: not acceptable", A, SEQ_W, 1000, 0, ACK_N, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},

	{"data-in-order", C10_4 ", seventh", A, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 0,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"data-with-ack-all", C10_4 ", fifth to seventh", A | P, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 0,
									{DA | AC, DA | AC, DA, RE | AC, RE | AC, AC, RE, __}},
	{"data-with-ece-cwr", "RFC 3168 6.1.1: ECN was not negotiated", A | TCP_F_ECE | TCP_F_CWR, SEQ_R, 0, 100, ACK_U, 0,
	 WINDOW, 0,							{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"data-out-of-order", C10_4 ", seventh; RFC 2018 3", A, SEQ_R, 2000, 100, ACK_U, 0, WINDOW, 0,
									{OO, OO,    OO, RE, RE,    RE,    RE, __}},
	{"data-partly-old", C10_4 ", first: trimmed", A, SEQ_R, -50, 150, ACK_U, 0, WINDOW, 0,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"data-old", C10_4 ", first: not acceptable", A, SEQ_R, -100, 99, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-old-to-the-edge", C10_4 ", first: not acceptable", A, SEQ_R, -100, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-left-of-window", C10_4 ", first: not acceptable", A, SEQ_R, -100000, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-right-of-window", C10_4 ", first: not acceptable", A, SEQ_W, 1000, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-at-right-edge", C10_4 ", first: not acceptable", A, SEQ_W, 0, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-across-right-edge", C10_4 ", first: trimmed", A, SEQ_W, -50, 100, ACK_U, 0, WINDOW, 0,
									{OO, OO,    OO, RE, RE,    RE,    RE, __}},
	{"data-far-side", C10_4 ", first: half the numbers away", A, SEQ_R, INT32_MIN, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},

	{"fin-in-order", C10_4 ", eighth", A | F, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{FI, FI,    FI, RE, RE,    RE,    RE, __}},
	{"fin-with-ack-all", C10_4 ", fifth and eighth", A | F, SEQ_R, 0, 0, ACK_N, 0, WINDOW, 0,
									{FI | AC, FI | AC, FI, RE | AC, RE | AC, AC, RE, __}},
	{"fin-early", C10_4 ", eighth: not in its turn", A | F, SEQ_R, 2000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"fin-old", C10_4 ", first; in the closing states the peer's FIN again", A | F, SEQ_R, -1, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"fin-left-of-window", C10_4 ", first: not acceptable", A | F, SEQ_R, -100000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"fin-right-of-window", C10_4 ", first: not acceptable", A | F, SEQ_W, 1000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-fin", C10_4 ", seventh and eighth", A | F | P, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 0,
									{DA | FI, DA | FI, DA | FI, RE, RE, RE, RE, __}},
	{"data-fin-with-ack-all", C10_4 ", fifth to eighth", A | F | P, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 0,
									{DA | FI | AC, DA | FI | AC, DA | FI, RE | AC, RE | AC,
									 AC, RE, __}},
	{"data-fin-partly-old", C10_4 ", first: trimmed", A | F, SEQ_R, -50, 150, ACK_U, 0, WINDOW, 0,
									{DA | FI, DA | FI, DA | FI, RE, RE, RE, RE, __}},
	{"data-fin-new-fin-only", C10_4 ", first: trimmed to the FIN", A | F, SEQ_R, -50, 50, ACK_U, 0, WINDOW, 0,
									{FI, FI,    FI, RE, RE,    RE,    RE, __}},
	{"data-fin-old", C10_4 ", first: not acceptable", A | F, SEQ_R, -50, 49, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"data-fin-out-of-order", C10_4 ", seventh and eighth", A | F, SEQ_R, 2000, 100, ACK_U, 0, WINDOW, 0,
									{OO, OO,    OO, RE, RE,    RE,    RE, __}},
	{"data-fin-across-right-edge", C10_4 ", first: the FIN is trimmed off", A | F, SEQ_W, -50, 100, ACK_U, 0, WINDOW, 0,
									{OO, OO,    OO, RE, RE,    RE,    RE, __}},

	{"syn", "RFC 5961 4.2", S, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,	{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-in-window", "RFC 5961 4.2", S, SEQ_R, 1000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-left-of-window", "RFC 5961 4.2", S, SEQ_R, -100000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-right-of-window", "RFC 5961 4.2", S, SEQ_W, 100000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-with-data", "RFC 5961 4.2", S, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-ack", "RFC 5961 4.2", S | A, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-ack-all", "RFC 5961 4.2: its ACK counts for nothing", S | A, SEQ_R, 0, 0, ACK_N, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-ack-of-the-handshake", "RFC 5961 4.2", S | A, SEQ_R, -1001, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-fin", "RFC 5961 4.2: SYN is looked at before FIN", S | F, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"syn-fin-ack-data", "RFC 5961 4.2", S | F | A | P, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},

	{"rst-exact", "RFC 5961 3.2; RFC 9293 3.10.7.4, second", X, SEQ_R, 0, 0, ACK_U, 0, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-ack-exact", "RFC 5961 3.2", X | A, SEQ_R, 0, 0, ACK_N, 0, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-exact-wrong-ack", "RFC 9293 3.10.7.4: RST is looked at before ACK", X | A, SEQ_R, 0, 0, ACK_N, 100000, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-exact-with-data", "RFC 9293 3.5.3: a reset may carry a text", X | A, SEQ_R, 0, 20, ACK_U, 0, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-syn-exact", "RFC 9293 3.10.7.4: RST is looked at before SYN", X | S, SEQ_R, 0, 0, ACK_U, 0, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-fin-exact", "RFC 9293 3.10.7.4: RST is looked at before FIN", X | F | A, SEQ_R, 0, 0, ACK_U, 0, 0, 0,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"rst-next", "RFC 5961 3.2: in the window, not exact", X, SEQ_R, 1, 0, ACK_U, 0, 0, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"rst-in-window", "RFC 5961 3.2", X | A, SEQ_R, 5000, 0, ACK_N, 0, 0, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"rst-in-window-with-data", "RFC 5961 3.2", X | A, SEQ_R, 1, 100, ACK_N, 0, 0, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"rst-last-of-window", "RFC 5961 3.2", X, SEQ_W, -1, 0, ACK_U, 0, 0, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"rst-at-right-edge", "RFC 5961 3.2: outside, silently", X, SEQ_W, 0, 0, ACK_U, 0, 0, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"rst-right-of-window", "RFC 5961 3.2: outside, silently", X, SEQ_W, 1000, 0, ACK_U, 0, 0, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"rst-just-old", "RFC 5961 3.2: outside, silently", X, SEQ_R, -1, 0, ACK_U, 0, 0, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"rst-old-with-data-to-exact", "RFC 5961 3.2: the number of the RST is that of the segment", X | A, SEQ_R, -10, 10,
	 ACK_U, 0, 0, 0,						{__, __,    __, __, __,    __,    __, __}},
	{"rst-left-of-window", "RFC 5961 3.2: outside, silently", X | A, SEQ_R, -100000, 0, ACK_N, 0, 0, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"rst-zero", "RFC 5961 3.2: outside, silently", X, SEQ_R, (int32_t)(0x80000000u), 0, ACK_U, 0, 0, 0,
									{__, __,    __, __, __,    __,    __, __}},

	{"null", C10_4 ", fifth: no ACK bit, drop", 0, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"null-left-of-window", C10_4 ", first: before the ACK bit", 0, SEQ_R, -100000, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"no-ack-with-data", C10_4 ", fifth: no ACK bit, drop", P, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"no-ack-with-fin", C10_4 ", fifth: no ACK bit, drop", F, SEQ_R, 0, 0, ACK_N, 0, WINDOW, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"xmas", C10_4 ", fifth: no ACK bit, drop", F | P | G, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 50,
									{__, __,    __, __, __,    __,    __, __}},
	{"xmas-with-ack", C10_4 ", sixth and eighth", F | P | G | A, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 1,
									{FI, FI,    FI, RE, RE,    RE,    RE, __}},
	{"all-flags", C10_4 ", second", 0xff, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 1,
									{KI, KI,    KI, KI, KI,    KI,    KI, __}},
	{"all-flags-but-rst", "RFC 5961 4.2", 0xff & ~X, SEQ_R, 0, 100, ACK_N, 0, WINDOW, 1,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"urgent-data", "RFC 9293 3.8.5, RFC 6093: in line", A | G | P, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 50,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"urgent-beyond-data", "RFC 9293 3.8.5: in line", A | G, SEQ_R, 0, 10, ACK_U, 0, WINDOW, 0xffff,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},
	{"urgent-without-data", "RFC 9293 3.8.5", A | G, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0xffff,
									{__, __,    __, __, __,    __,    __, __}},
	{"urgent-pointer-without-bit", "RFC 9293 3.1: not interpreted", A, SEQ_R, 0, 100, ACK_U, 0, WINDOW, 7,
									{DA, DA,    DA, RE, RE,    RE,    RE, __}},

	{"window-0", "RFC 9293 3.8.6", A, SEQ_R, 0, 0, ACK_U, 0, 0, 0,	{__, __,    __, __, __,    __,    __, __}},
	{"window-0-with-ack-all", "RFC 9293 3.8.6", A, SEQ_R, 0, 0, ACK_N, 0, 0, 0,
									{AC, AC,    __, AC, AC,    AC,    __, __}},
	{"window-largest", "RFC 7323 2.3", A, SEQ_R, 0, 0, ACK_U, 0, 0xffff, 0,
									{__, __,    __, __, __,    __,    __, __}},
	{"keep-alive", "RFC 9293 3.8.4", A, SEQ_R, -1, 0, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
	{"keep-alive-one-octet", "RFC 9293 3.8.4", A, SEQ_R, -1, 1, ACK_U, 0, WINDOW, 0,
									{RE, RE,    RE, RE, RE,    RE,    RE, __}},
};

/* With the window closed: 60000 octets wait unread, R == W. "the special allowance should be made to accept valid ACKs,
 * URGs, and RSTs" (RFC 9293 3.10.7.4). */
static const struct kind closed_kinds[] = {
	{"probe-one-octet", "RFC 9293 3.8.6.1", A, SEQ_R, 0, 1, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"probe-old-number", "RFC 9293 3.8.6.1", A, SEQ_R, -1, 0, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"probe-last-octet", "RFC 9293 3.8.6.1", A, SEQ_R, -1, 1, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"data", C10_4 ", first", A, SEQ_R, 0, 1000, ACK_U, 0, WINDOW, 0,			{RE, RE, RE}},
	{"data-beyond", C10_4 ", first", A, SEQ_R, 1, 1000, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"data-partly-old", C10_4 ", first", A, SEQ_R, -10, 1000, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"data-with-ack-all", C10_4 ", first: valid ACKs", A, SEQ_R, 0, 1000, ACK_N, 0, WINDOW, 0,
												{RE | AC, RE | AC, RE}},
	{"ack-all", C10_4 ", first: valid ACKs", A, SEQ_R, 0, 0, ACK_N, 0, WINDOW, 0,		{AC, AC, __}},
	{"ack-beyond", C10_4 ", ACK", A, SEQ_R, 0, 0, ACK_N, 1, WINDOW, 0,			{RE, RE, RE}},
	{"rst-exact", C10_4 ", first: valid RSTs", X, SEQ_R, 0, 0, ACK_U, 0, 0, 0,		{KI, KI, KI}},
	{"rst-next", "RFC 5961 3.2: outside", X, SEQ_R, 1, 0, ACK_U, 0, 0, 0,			{__, __, __}},
	{"rst-just-old", "RFC 5961 3.2: outside", X, SEQ_R, -1, 0, ACK_U, 0, 0, 0,		{__, __, __}},
	{"syn", "RFC 5961 4.2", S, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,				{RE, RE, RE}},
	/* A deviation: the clause would have it sent again. It takes no room, and a sender that has filled the window may
	 * well add it to its last octets. */
	{"fin-in-order", "RFC 9293 3.10.7.4, eighth, though outside", A | F, SEQ_R, 0, 0, ACK_U, 0, WINDOW, 0,
												{FI, FI, FI}},
	{"fin-beyond", C10_4 ", first", A | F, SEQ_R, 1, 0, ACK_U, 0, WINDOW, 0,		{RE, RE, RE}},
	{"data-fin", C10_4 ", first", A | F, SEQ_R, 0, 10, ACK_U, 0, WINDOW, 0,			{RE, RE, RE}},
};
#undef A
#undef S
#undef F
#undef X
#undef P
#undef G

static const char *const state_name[8] = {
	"ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT", "CLOSED",
};

struct row {
	const struct kind *k;
	enum tcp_state state;
	bool closed; /* the window */
	char name[64];
};

/* --- one half and what it sends ------------------------------------------------------------------------------- */

static struct chunk_pool pool;

static struct rig {
	struct tcp_env env;
	struct tcp_half h;
	struct tcp_out out[64];
	unsigned n;
	bool sack;
	uint32_t u, nx, r, w; /* U, N, R, W */
} g;

static int on_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	assert_ptr_equal(h, &g.h);
	assert_true(g.n < 64);
	g.out[g.n++] = *o;
	return 0;
}

static uint8_t octet(uint32_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
}

/* Octets that were acknowledged before come with other values: they must not be seen. */
static uint32_t input(const struct tcp_segment *s)
{
	static uint8_t bytes[60000];
	struct chunkq q;
	uint32_t ev;

	chunkq_init(&q);
	for (uint32_t i = 0; i < s->len; i++)
		bytes[i] = (int32_t)(s->seq + i - g.r) < 0 ? (uint8_t)~octet(s->seq + i) : octet(s->seq + i);
	if (s->len)
		chunkq_push(&q, mem_testing_chunk(&pool, bytes, s->len));
	ev = tcp_half_input(&g.env, &g.h, s, &q);
	assert_true(chunkq_empty(&q));
	return ev;
}

static uint32_t peer(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct tcp_segment s = {.seq = seq, .ack = ack, .len = len, .window = WINDOW, .flags = flags, .header_len = 20};

	return input(&s);
}

static void output(void)
{
	g.n = 0;
	tcp_half_output(&g.env, &g.h);
}

/* What waits must be the octets from seq on; takes them. */
static void take(uint32_t seq, uint32_t n)
{
	struct chunkq q;
	struct chunk *c;

	chunkq_init(&q);
	assert_int_equal(tcp_half_rxq(&g.h)->bytes, n);
	assert_int_equal(tcp_half_take(&g.env, &g.h, &q, n), 0);
	while ((c = chunkq_pop(&q))) {
		for (uint32_t i = 0; i < c->len; i++)
			assert_int_equal(c->data[i], octet(seq++));
		chunk_free(&pool, c);
	}
}

static void send_and_finish(bool finish)
{
	static const uint8_t bytes[FLIGHT];
	struct chunkq q;

	chunkq_init(&q);
	chunkq_push(&q, mem_testing_chunk(&pool, bytes, FLIGHT));
	tcp_half_send(&g.env, &g.h, &q);
	if (finish)
		tcp_half_finish(&g.h);
	output();
	assert_int_equal(g.n, 1);
	assert_int_equal(g.out[0].payload_len, FLIGHT);
	assert_int_equal(!!(g.out[0].flags & TCP_F_FIN), finish);
}

/* Into the state, by segments and calls alone. */
static void reach(enum tcp_state state, bool closed)
{
	struct tcp_params p = {
		.snd_nxt = ISS, .rcv_nxt = IRS, .snd_wnd = MAX_WND, .rcv_wnd = 60000, .mss = MSS, .rcv_mss = MSS,
		.snd_wscale = 2, .rcv_wscale = 3, .wscale = true, .sack = g.sack, .srtt_us = 10000,
	};
	bool fin_first = state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK;
	bool ours = state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state == TCP_CLOSING || state == TCP_TIME_WAIT;

	memset(&g.env, 0, sizeof(g.env));
	g.env.now_us = 5000000;
	g.env.pool = &pool;
	g.env.emit = on_emit;
	g.env.rcvbuf_max = 60000;
	g.u = g.nx = ISS;
	g.r = IRS;
	tcp_half_open(&g.h, &p, &g.env);
	output();
	assert_int_equal(peer(TCP_F_ACK, IRS, ISS, 1000), TCP_EV_DATA);
	output();
	take(IRS, 1000);
	output();
	g.r += 1000;
	if (closed) {
		for (uint32_t n; (n = g.h.rcv_adv - g.r) != 0; g.r += n) {
			n = n > MSS ? MSS : n;
			assert_int_equal(peer(TCP_F_ACK, g.r, ISS, n), TCP_EV_DATA);
			output();
		}
	}
	if (fin_first) {
		assert_int_equal(peer(TCP_F_ACK | TCP_F_FIN, g.r++, ISS, 0), TCP_EV_FIN);
		output();
	}
	send_and_finish(ours || state == TCP_LAST_ACK);
	g.nx += FLIGHT + (ours || state == TCP_LAST_ACK);
	if (state == TCP_FIN_WAIT_2 || state == TCP_TIME_WAIT) {
		assert_int_equal(peer(TCP_F_ACK, g.r, g.nx, 0), TCP_EV_ACKED);
		g.u = g.nx;
	}
	if (state == TCP_CLOSING || state == TCP_TIME_WAIT)
		assert_int_equal(peer(TCP_F_ACK | TCP_F_FIN, g.r++, g.u, 0), TCP_EV_FIN);
	if (state == TCP_CLOSED)
		assert_int_equal(peer(TCP_F_RST, g.r, 0, 0), TCP_EV_RESET);
	output();
	/* The closed window is told, and what was programmed for later is over. */
	g.env.now_us += 50000;
	if (closed && g.h.delack_at <= g.env.now_us)
		peer(TCP_F_ACK, g.r, g.u, 1);
	output();
	output();
	assert_int_equal(g.n, 0);
	assert_int_equal(tcp_half_state(&g.h), state);
	g.w = g.h.rcv_adv;
	if (closed)
		assert_int_equal(g.w, g.r);
	else if (state < TCP_CLOSE_WAIT)
		assert_true(g.w - g.r > 50000);
}

/* --- a row ----------------------------------------------------------------------------------------------------- */

/* What a row must lead to. */
struct want {
	uint32_t ev, rcv_nxt, una, delivered;
	enum tcp_state state;
	bool reply;
};

static bool fin_was_sent(enum tcp_state s)
{
	return s == TCP_FIN_WAIT_1 || s == TCP_CLOSING || s == TCP_LAST_ACK;
}

static struct want wanted(const struct row *row, const struct tcp_segment *s)
{
	uint8_t react = row->k->react[row->state];
	struct want w = {.rcv_nxt = g.r, .una = g.u, .state = row->state};

	if (react & KI) {
		w.ev = row->state == TCP_TIME_WAIT ? TCP_EV_CLOSED : TCP_EV_RESET;
		w.state = TCP_CLOSED;
		return w;
	}
	w.reply = react & (RE | DA | OO | FI);
	if (react & AC) {
		w.una = s->ack;
		w.ev |= TCP_EV_ACKED;
		if (s->ack == g.nx && fin_was_sent(row->state)) {
			w.state = row->state == TCP_FIN_WAIT_1 ? TCP_FIN_WAIT_2 :
				  row->state == TCP_CLOSING    ? TCP_TIME_WAIT :
								 TCP_CLOSED;
			if (w.state == TCP_CLOSED)
				w.ev |= TCP_EV_CLOSED;
		}
	}
	if (react & DA) {
		w.ev |= TCP_EV_DATA;
		w.delivered = s->seq + s->len - g.r;
		w.rcv_nxt += w.delivered;
	}
	if (react & FI) {
		w.ev |= TCP_EV_FIN;
		w.rcv_nxt++;
		w.state = w.state == TCP_ESTABLISHED ? TCP_CLOSE_WAIT :
			  w.state == TCP_FIN_WAIT_1  ? TCP_CLOSING :
						       TCP_TIME_WAIT;
	}
	return w;
}

static void check_reply(const struct row *row, const struct want *w, const struct tcp_segment *s)
{
	const struct tcp_out *o = &g.out[0];
	uint32_t end = s->seq + s->len;

	assert_int_equal(g.n, w->reply ? 1 : 0);
	if (!w->reply)
		return;
	assert_int_equal(o->flags, TCP_F_ACK);
	assert_int_equal(o->payload_len, 0);
	assert_int_equal(o->seq, g.nx);
	assert_int_equal(o->ack, w->rcv_nxt);
	assert_true(o->nsack == 0 || g.sack);
	if (g.sack && (row->k->react[row->state] & OO)) {
		if ((int32_t)(end - g.w) > 0)
			end = g.w;
		assert_int_equal(o->nsack, 1);
		assert_int_equal(o->sack[0].left, s->seq);
		assert_int_equal(o->sack[0].right, end);
	} else if (g.sack && o->nsack) { /* RFC 2883: only what came twice */
		assert_int_equal(o->nsack, 1);
		assert_int_equal(o->sack[0].left, s->seq);
		assert_true((int32_t)(o->sack[0].right - w->rcv_nxt) <= 0);
	}
	/* INV-TCP-3: the edge offered never moves left. */
	assert_true((int32_t)(o->ack + ((uint32_t)o->window << 3) + 7 - g.w) >= 0 || w->state >= TCP_CLOSE_WAIT);
}

/* What follows arrives, and our side can still be ended. */
static void goes_on(const struct row *row, const struct want *w)
{
	enum tcp_state s = tcp_half_state(&g.h);
	uint32_t had = (uint32_t)tcp_half_rxq(&g.h)->bytes, first = w->rcv_nxt - had - (s >= TCP_CLOSE_WAIT);

	if (s == TCP_CLOSED)
		return;
	if (s < TCP_CLOSE_WAIT) {
		if (row->closed) {
			take(first, had);
			had = 0;
			first = w->rcv_nxt;
			output();
		}
		assert_true(peer(TCP_F_ACK, w->rcv_nxt, w->una, 40) & TCP_EV_DATA);
		assert_int_equal(tcp_half_rxq(&g.h)->bytes, had + 40);
		had += 40;
		output();
		assert_true(!g.n || g.out[g.n - 1].ack == w->rcv_nxt + 40);
	}
	take(first, had);
	peer(TCP_F_ACK, w->rcv_nxt + (s < TCP_CLOSE_WAIT ? 40 : 0), g.nx, 0);
	s = s == TCP_FIN_WAIT_1 ? TCP_FIN_WAIT_2 : s == TCP_CLOSING ? TCP_TIME_WAIT : s == TCP_LAST_ACK ? TCP_CLOSED : s;
	assert_int_equal(tcp_half_state(&g.h), s);
	assert_int_equal(tcp_half_send_pending(&g.h), 0);
}

static void run(const struct row *row)
{
	const struct kind *k = row->k;
	struct tcp_segment s = {.len = k->len, .window = k->window, .urgent = k->urgent, .flags = k->flags,
				.header_len = 20};
	struct want w;
	uint32_t had, ev;
	uint64_t wait;

	reach(row->state, row->closed);
	s.seq = (k->seq_of == SEQ_W ? g.w : g.r) + (uint32_t)k->seq;
	s.ack = (k->ack_of == ACK_N ? g.nx : g.u) + (uint32_t)k->ack;
	w = wanted(row, &s);
	had = (uint32_t)tcp_half_rxq(&g.h)->bytes;
	wait = tcp_half_deadline(&g.h);
	ev = input(&s);
	output();
	assert_int_equal(ev, w.ev);
	assert_int_equal(tcp_half_state(&g.h), w.state);
	check_reply(row, &w, &s);
	assert_int_equal(tcp_half_rxq(&g.h)->bytes, had + w.delivered);
	if (w.state != TCP_CLOSED) {
		assert_int_equal(g.h.snd_una, w.una);
		assert_int_equal(g.h.snd_nxt, g.nx);
		assert_int_equal(g.h.rcv_nxt, w.rcv_nxt);
	} else {
		assert_true(tcp_half_deadline(&g.h) == UINT64_MAX);
	}
	/* The peer's FIN again: the wait begins anew. */
	if (row->state == TCP_TIME_WAIT && w.state == TCP_TIME_WAIT && (k->flags & TCP_F_FIN) && k->seq == -1)
		assert_true(tcp_half_deadline(&g.h) > wait);
	output();
	assert_int_equal(g.n, 0);
	goes_on(row, &w);
	tcp_half_free(&g.env, &g.h);
	assert_true(mem_testing_clean(&pool));
}

static void test_row(void **state)
{
	g.sack = true;
	run(*state);
	g.sack = false;
	run(*state);
}

/* A row that fails leaves its buffers behind; the next ones must not fail for that. */
static int begin(void **state)
{
	if (!mem_testing_clean(&pool)) {
		mem_testing_free(&pool);
		mem_testing_pool(&pool, 255, 1023);
	}
	return 0;
}

/* --- what a row alone does not show ------------------------------------------------------------------------------ */

/* RFC 5961 7: whatever an attacker sends, in whatever mixture, he buys one ACK in a while. */
static void test_challenges_are_rationed(void **state)
{
	static const uint8_t flags[] = {TCP_F_RST, TCP_F_SYN, TCP_F_SYN | TCP_F_ACK, TCP_F_ACK};
	unsigned sent = 0;

	g.sack = true;
	reach(TCP_ESTABLISHED, false);
	for (unsigned i = 0; i < 10000; i++) {
		uint8_t f = flags[i % 4];

		g.env.now_us += 100;
		assert_int_equal(peer(f, g.r + 1 + i % 1000, f == TCP_F_ACK ? g.nx + 1 + i : g.u, f == TCP_F_ACK), 0);
		output();
		sent += g.n;
		for (unsigned k = 0; k < g.n; k++)
			assert_int_equal(g.out[k].payload_len, 0);
	}
	assert_in_range(sent, 9, 11); /* one in 100 ms */
	assert_int_equal(tcp_half_state(&g.h), TCP_ESTABLISHED);
	tcp_half_free(&g.env, &g.h);
	assert_true(mem_testing_clean(&pool));
}

/* A RST for every 2^16th number: exactly the one at R works, and those outside the window stay without an answer. */
static void test_reset_by_sweep(void **state)
{
	unsigned answers = 0;

	g.sack = true;
	reach(TCP_ESTABLISHED, false);
	for (uint32_t i = 1; i < 65536; i++) {
		uint32_t seq = g.r + (i << 16);

		g.env.now_us += 200000;
		assert_int_equal(peer(TCP_F_RST, seq, 0, 0), 0);
		output();
		answers += g.n;
	}
	assert_int_equal(answers, 0); /* the window is less than 2^16 */
	assert_int_equal(tcp_half_state(&g.h), TCP_ESTABLISHED);
	assert_int_equal(peer(TCP_F_RST, g.r, 0, 0), TCP_EV_RESET);
	tcp_half_free(&g.env, &g.h);
	assert_true(mem_testing_clean(&pool));
}

/* RFC 9293 3.10.7.4, RFC 6191: which SYN may begin anew on the ports of an old connection. */
static void test_reuse(void **state)
{
	static const struct {
		enum tcp_state state;
		uint8_t flags;
		int32_t seq;
		bool reusable;
	} rows[] = {
		{TCP_TIME_WAIT, TCP_F_SYN, 1, true},		     {TCP_TIME_WAIT, TCP_F_SYN, 1000000, true},
		{TCP_TIME_WAIT, TCP_F_SYN, 0, false},		     {TCP_TIME_WAIT, TCP_F_SYN, -1000, false},
		{TCP_TIME_WAIT, TCP_F_SYN | TCP_F_ACK, 1000, false}, {TCP_TIME_WAIT, TCP_F_SYN | TCP_F_RST, 1000, false},
		{TCP_TIME_WAIT, TCP_F_ACK, 1000, false},	     {TCP_CLOSED, TCP_F_SYN, -1000, true},
		{TCP_ESTABLISHED, TCP_F_SYN, 1000, false},	     {TCP_FIN_WAIT_1, TCP_F_SYN, 1000, false},
		{TCP_FIN_WAIT_2, TCP_F_SYN, 1000, false},	     {TCP_CLOSE_WAIT, TCP_F_SYN, 1000, false},
		{TCP_CLOSING, TCP_F_SYN, 1000, false},		     {TCP_LAST_ACK, TCP_F_SYN, 1000, false},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcp_segment s = {.flags = rows[i].flags, .header_len = 20};

		reach(rows[i].state, false);
		s.seq = g.r + (uint32_t)rows[i].seq;
		assert_int_equal(tcp_half_reusable(&g.h, &s), rows[i].reusable);
		tcp_half_free(&g.env, &g.h);
	}
	assert_true(mem_testing_clean(&pool));
}

/* Both versions of an octet, in order and out of order, before and behind a hole: the first wins everywhere, and an early
 * FIN is the first to say where the stream ends. */
static void test_early_fin_wins(void **state)
{
	reach(TCP_ESTABLISHED, false);
	assert_int_equal(peer(TCP_F_ACK | TCP_F_FIN, g.r + 500, g.u, 0), 0);
	assert_int_equal(peer(TCP_F_ACK, g.r + 400, g.u, 300), 0);	/* across it */
	assert_int_equal(peer(TCP_F_ACK | TCP_F_FIN, g.r + 900, g.u, 0), 0); /* another one */
	assert_int_equal(peer(TCP_F_ACK, g.r, g.u, 450), TCP_EV_DATA | TCP_EV_FIN);
	output();
	assert_int_equal(g.out[0].ack, g.r + 501);
	assert_int_equal(tcp_half_state(&g.h), TCP_CLOSE_WAIT);
	take(g.r, 500);
	tcp_half_free(&g.env, &g.h);
	assert_true(mem_testing_clean(&pool));
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 255, 1023);
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

#define DIM(a) (sizeof(a) / sizeof((a)[0]))
static struct row rows[DIM(kinds) * 8 + DIM(closed_kinds) * 3];
static struct CMUnitTest tests[DIM(rows)];

int main(void)
{
	const struct CMUnitTest more[] = {
		cmocka_unit_test(test_challenges_are_rationed), cmocka_unit_test(test_reset_by_sweep),
		cmocka_unit_test(test_reuse), cmocka_unit_test(test_early_fin_wins),
	};
	size_t n = 0;

	for (size_t i = 0; i < DIM(kinds) + DIM(closed_kinds); i++) {
		bool closed = i >= DIM(kinds);
		const struct kind *k = closed ? &closed_kinds[i - DIM(kinds)] : &kinds[i];

		for (int s = 0; s < (closed ? 3 : 8); s++, n++) {
			rows[n] = (struct row){.k = k, .state = (enum tcp_state)s, .closed = closed};
			snprintf(rows[n].name, sizeof(rows[n].name), "%s%s/%s", state_name[s], closed ? "/window-closed" : "",
				 k->name);
			tests[n] = (struct CMUnitTest){rows[n].name, test_row, begin, NULL, &rows[n]};
		}
	}
	return _cmocka_run_group_tests("rows", tests, n, setup, teardown) +
	       cmocka_run_group_tests(more, setup, teardown);
}
