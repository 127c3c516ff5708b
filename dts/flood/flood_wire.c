/* SPDX-License-Identifier: BSD-3-Clause */
#include "flood.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_NS 100000

uint64_t flood_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t flood_random(uint32_t *state)
{
	uint32_t x = *state ? *state : 1;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t sum(const uint8_t *p, uint32_t n, uint32_t s)
{
	for (; n > 1; p += 2, n -= 2)
		s += get16(p);
	return n ? s + ((uint32_t)p[0] << 8) : s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

uint32_t flood_frame(uint8_t *to, const uint8_t mac[2][6], const struct flood_segment *s)
{
	uint8_t *ip = to + 14, *t = ip + 20;
	uint32_t opt = s->mss ? 4 : 0, tcp = 20 + opt + s->len;

	memset(to, 0, FLOOD_HEAD + opt);
	memcpy(to, mac, 12);
	put16(to + 12, ETHERTYPE_IP);
	ip[0] = 0x45;
	put16(ip + 2, 20 + tcp);
	put16(ip + 4, FLOOD_MARK);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	put32(ip + 12, s->t.src);
	put32(ip + 16, s->t.dst);
	put16(ip + 10, fold(sum(ip, 20, 0)));
	put16(t, s->t.sport);
	put16(t + 2, s->t.dport);
	put32(t + 4, s->seq);
	put32(t + 8, s->ack);
	t[12] = (uint8_t)((20 + opt) / 4 << 4);
	t[13] = s->flags;
	put16(t + 14, s->window);
	if (opt) {
		t[20] = 2;
		t[21] = 4;
		put16(t + 22, s->mss);
	}
	if (s->len)
		memcpy(t + 20 + opt, s->payload, s->len);
	put16(t + 16, fold(sum(t, tcp, sum(ip + 12, 8, IPPROTO_TCP + tcp))));
	return 34 + tcp;
}

int flood_tx_open(struct flood_tx *x, const struct flood_conf *c)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(c->dev)};
	struct ifreq ifr = {0};
	int one = 1;

	memset(x, 0, sizeof(*x));
	x->rate = c->rate;
	/* Protocol 0: nothing is received on it. */
	x->fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (x->fd < 0)
		return -errno;
	strncpy(ifr.ifr_name, c->dev, sizeof(ifr.ifr_name) - 1);
	if (!to.sll_ifindex || ioctl(x->fd, SIOCGIFHWADDR, &ifr) || bind(x->fd, (struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(x->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one))) {
		int rc = errno ? -errno : -ENODEV;

		close(x->fd);
		return rc;
	}
	memcpy(x->mac[0], c->dmac, 6);
	memcpy(x->mac[1], ifr.ifr_hwaddr.sa_data, 6);
	for (unsigned i = 0; i < FLOOD_BATCH; i++) {
		x->iov[i].iov_base = x->frame[i];
		x->msg[i].msg_hdr.msg_iov = &x->iov[i];
		x->msg[i].msg_hdr.msg_iovlen = 1;
	}
	x->begun_ns = flood_now();
	return 0;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

void flood_flush(struct flood_tx *x)
{
	unsigned done = 0;

	while (x->rate && x->sent * 1000000000u / x->rate > flood_now() - x->begun_ns)
		nap();
	while (done < x->n) {
		int n = sendmmsg(x->fd, x->msg + done, x->n - done, 0);

		if (n <= 0) { /* the device is full: none is given up */
			x->waits++;
			nap();
			continue;
		}
		done += (unsigned)n;
		x->sent += (unsigned)n;
	}
	x->n = 0;
}

void flood_put(struct flood_tx *x, const struct flood_segment *s)
{
	x->iov[x->n].iov_len = flood_frame(x->frame[x->n], x->mac, s);
	if (++x->n == FLOOD_BATCH)
		flood_flush(x);
}

int flood_sniff_open(const char *dev)
{
	struct sockaddr_ll on = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(dev)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)), room = 32 << 20;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&on, sizeof(on))) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return fd;
}

bool flood_sniff(int fd, uint8_t *buf, uint32_t size, struct flood_seen *seen)
{
	struct sockaddr_ll from;
	ssize_t n;

	for (;;) {
		socklen_t len = sizeof(from);
		const uint8_t *ip = buf + 14, *t;
		uint32_t ihl, thl, total;

		n = recvfrom(fd, buf, size, MSG_TRUNC, (struct sockaddr *)&from, &len);
		if (n < 0)
			return false;
		if (n < FLOOD_HEAD || get16(buf + 12) != ETHERTYPE_IP || ip[0] >> 4 != 4 || ip[9] != IPPROTO_TCP ||
		    get16(ip + 4) == FLOOD_MARK)
			continue;
		ihl = (ip[0] & 15) * 4u;
		t = ip + ihl;
		total = get16(ip + 2);
		if (14 + ihl + 20 > size || ihl < 20)
			continue;
		thl = (t[12] >> 4) * 4u;
		if (total < ihl + thl)
			continue;
		*seen = (struct flood_seen){
			.outgoing = from.sll_pkttype == PACKET_OUTGOING,
			.s = {.t = {get32(ip + 12), get32(ip + 16), (uint16_t)get16(t), (uint16_t)get16(t + 2)},
			      .seq = get32(t + 4), .ack = get32(t + 8), .flags = t[13],
			      .window = (uint16_t)get16(t + 14), .payload = t + thl, .len = total - ihl - thl},
		};
		return true;
	}
}
