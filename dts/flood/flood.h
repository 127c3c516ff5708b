/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests: frames by the million at an interface of this host, as an attacker on the wire would send them. IPv4, libc
 * and AF_PACKET only. One thread; every structure belongs to it.
 *
 * Addresses, ports and sequence numbers are host order here; flood_frame swaps them.
 */
#ifndef FLOOD_H
#define FLOOD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define FLOOD_FIN 0x01
#define FLOOD_SYN 0x02
#define FLOOD_RST 0x04
#define FLOOD_PSH 0x08
#define FLOOD_ACK 0x10

#define FLOOD_FRAME 1514
#define FLOOD_HEAD 54 /* Ethernet, IPv4, TCP without options */
#define FLOOD_PAYLOAD (FLOOD_FRAME - FLOOD_HEAD)
#define FLOOD_BATCH 64
#define FLOOD_MARK 0xf10d /* IP identification of all that is ours */

struct flood_tuple {
	uint32_t src, dst;
	uint16_t sport, dport;
};

struct flood_segment {
	struct flood_tuple t;
	uint32_t seq, ack;
	uint16_t window, mss; /* mss: as an option, 0: none */
	uint8_t flags;
	const void *payload;
	uint32_t len;
};

/* Writes a whole frame with right checksums to to (FLOOD_FRAME octets); its length. */
uint32_t flood_frame(uint8_t *to, const uint8_t mac[2][6], const struct flood_segment *s);

/* What is sent: batches through sendmmsg, past the queueing discipline. */
struct flood_tx {
	int fd;
	uint8_t mac[2][6]; /* destination, source */
	uint64_t rate;	   /* frames in a second, 0: as many as go */
	uint64_t sent, waits;
	uint64_t begun_ns;
	unsigned n;
	struct mmsghdr msg[FLOOD_BATCH];
	struct iovec iov[FLOOD_BATCH];
	uint8_t frame[FLOOD_BATCH][FLOOD_FRAME];
};

/* A frame that came in or went out on the interface. */
struct flood_seen {
	struct flood_segment s; /* payload lies in the caller's buffer, cut to what fits there */
	bool outgoing;
};

struct flood_conf {
	const char *mode, *dev;
	struct flood_tuple t; /* src and sport: of the live flow, or the first ones */
	uint8_t dmac[6];
	uint64_t count, rate;
	unsigned flows, segments;
	double hold; /* seconds */
	uint32_t seed;
};

uint64_t flood_now(void); /* nanoseconds, monotonic */
uint32_t flood_random(uint32_t *state);

/* 0 or -errno. */
int flood_tx_open(struct flood_tx *x, const struct flood_conf *c);
/* The segment goes out with its batch, when its time has come. */
void flood_put(struct flood_tx *x, const struct flood_segment *s);
void flood_flush(struct flood_tx *x);

/* A socket that sees both ways of the interface; -errno. */
int flood_sniff_open(const char *dev);
/* The next TCP segment over IPv4 that is not ours, without waiting. False: none. */
bool flood_sniff(int fd, uint8_t *buf, uint32_t size, struct flood_seen *seen);

/* Each prints one line of JSON and returns the exit code. */
int flood_blind(const struct flood_conf *c, struct flood_tx *x); /* syn, ack, rst, syn-live, rst-live */
int flood_live(const struct flood_conf *c, struct flood_tx *x);	 /* garbage into a flow that is listened to */
int flood_flows(const struct flood_conf *c, struct flood_tx *x); /* connections of our own: bomb, tiny, stall, conflict */

#endif
