/* SPDX-License-Identifier: BSD-3-Clause */
#include "tamper/tamper_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tamper/tamper_frame.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define FRAME_LEAST  2048
#define SOCKET_BYTES (32 << 20)

uint64_t wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct wire_frame *frame_new(struct wire *w)
{
	struct wire_frame *f = w->spare;

	if (f)
		w->spare = f->next;
	else
		f = malloc(sizeof(*f) + WIRE_HEADROOM + w->frame_max);
	return f;
}

static void frame_free(struct wire *w, struct wire_frame *f)
{
	f->next = w->spare;
	w->spare = f;
}

static void *ops_clone(void *ctx, void *packet)
{
	const struct wire_frame *f = packet;
	struct wire_frame *c = frame_new(ctx);

	if (c)
		memcpy(c, f, sizeof(*f) + WIRE_HEADROOM + f->len);
	return c;
}

static void ops_drop(void *ctx, void *packet)
{
	frame_free(ctx, packet);
}

static void ops_flip(void *ctx, void *packet, uint32_t at, uint8_t mask)
{
	struct wire_frame *f = packet;

	f->data[f->at + at] ^= mask;
}

static bool ops_span(void *ctx, const void *packet, uint32_t len, uint32_t place, uint64_t random, uint32_t *from, uint32_t *to)
{
	const struct wire_frame *f = packet;

	return tamper_frame_span(f->data + f->at, len, place, random, from, to);
}

static int end_error(const char *name, const char *what, char *error)
{
	snprintf(error, TAMPER_ERROR_MAX, "%s: %s: %s", name, what, strerror(errno));
	return -1;
}

/* The socket of an interface; *mtu is its MTU. */
static int end_open(struct wire_end *e, const char *name, int *mtu, char *error)
{
	struct packet_mreq promiscuous = {.mr_type = PACKET_MR_PROMISC};
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq r = {0};
	int one = 1, bytes = SOCKET_BYTES;

	if (strlen(name) >= sizeof(e->name)) {
		snprintf(error, TAMPER_ERROR_MAX, "%.40s: no such interface: the name is too long", name);
		return -1;
	}
	memcpy(e->name, name, strlen(name) + 1);
	memcpy(r.ifr_name, name, strlen(name) + 1);
	e->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (e->fd < 0)
		return end_error(name, "a packet socket cannot be had (are you root?)", error);
	if (ioctl(e->fd, SIOCGIFINDEX, &r))
		return end_error(name, "no such interface", error);
	promiscuous.mr_ifindex = addr.sll_ifindex = r.ifr_ifindex;
	if (ioctl(e->fd, SIOCGIFMTU, &r))
		return end_error(name, "its MTU cannot be read", error);
	*mtu = r.ifr_mtu;
	if (ioctl(e->fd, SIOCGIFFLAGS, &r))
		return end_error(name, "its flags cannot be read", error);
	if (!(r.ifr_flags & IFF_UP)) {
		errno = ENETDOWN;
		return end_error(name, "the interface is not up", error);
	}
	if (setsockopt(e->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		return end_error(name, "the packet socket cannot be set up", error);
	if (setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		return end_error(name, "its buffers cannot be made larger (are you root?)", error);
	if (bind(e->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return end_error(name, "the socket cannot be bound", error);
	return 0;
}

int wire_open(struct wire *w, const struct tamper_options *o, char error[TAMPER_ERROR_MAX])
{
	struct tamper_ops ops = {ops_clone, ops_drop, ops_flip, ops_span, w};
	int mtu;
	unsigned i;

	memset(w, 0, sizeof(*w));
	w->end[0].fd = w->end[1].fd = -1;
	w->frame_max = FRAME_LEAST;
	w->began = wire_now();
	for (i = 0; i < 2; i++)
		tamper_open(&w->stage[i], &o->conf[i], &ops);
	for (i = 0; i < 2; i++) {
		if (end_open(&w->end[i], o->device[i], &mtu, error))
			return -1;
		if ((uint32_t)mtu + 32 > w->frame_max)
			w->frame_max = (uint32_t)mtu + 32;
	}
	return 0;
}

void wire_close(struct wire *w)
{
	struct wire_frame *f;
	unsigned i;

	for (i = 0; i < 2; i++) {
		tamper_close(&w->stage[i]);
		if (w->end[i].fd >= 0)
			close(w->end[i].fd);
	}
	while ((f = w->spare)) {
		w->spare = f->next;
		free(f);
	}
}

/* What the kernel tells beside a frame: the VLAN tag that it has taken out, a checksum that is still to be made. */
static void frame_aux(struct wire_end *e, struct wire_frame *f, struct msghdr *m)
{
	struct tpacket_auxdata aux;
	struct cmsghdr *c;
	uint16_t tag[2];

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		e->rx_unfinished += !!(aux.tp_status & TP_STATUS_CSUMNOTREADY);
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || f->len < 12)
			continue;
		tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
		tag[1] = htons(aux.tp_vlan_tci);
		memmove(f->data, f->data + WIRE_HEADROOM, 12);
		memcpy(f->data + 12, tag, sizeof(tag));
		f->at = 0;
		f->len += WIRE_HEADROOM;
	}
}

bool wire_receive(struct wire *w, unsigned from)
{
	union {
		struct cmsghdr align;
		uint8_t octets[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} aux[WIRE_BURST];
	struct wire_frame *f[WIRE_BURST];
	struct mmsghdr m[WIRE_BURST];
	struct iovec v[WIRE_BURST];
	struct wire_end *e = &w->end[from];
	uint64_t now;
	int i, n, got;

	for (n = 0; n < WIRE_BURST && (f[n] = frame_new(w)); n++) {
		v[n] = (struct iovec){f[n]->data + WIRE_HEADROOM, w->frame_max};
		m[n].msg_hdr = (struct msghdr){.msg_iov = &v[n], .msg_iovlen = 1, .msg_control = &aux[n],
					       .msg_controllen = sizeof(aux[n])};
	}
	got = recvmmsg(e->fd, m, (unsigned)n, MSG_DONTWAIT, NULL);
	now = wire_now();
	for (i = 0; i < n; i++) {
		if (i >= got || (m[i].msg_hdr.msg_flags & MSG_TRUNC)) {
			e->rx_too_long += i < got;
			frame_free(w, f[i]);
			continue;
		}
		f[i]->at = WIRE_HEADROOM;
		f[i]->len = m[i].msg_len;
		frame_aux(e, f[i], &m[i].msg_hdr);
		tamper_put(&w->stage[from], f[i], f[i]->len, now);
	}
	return got == WIRE_BURST;
}

/* Gives n frames to the kernel. One that it does not take is counted, never tried again: that would delay the others. */
static void end_send(struct wire_end *e, struct mmsghdr *m, int n)
{
	int done;

	while (n > 0) {
		done = sendmmsg(e->fd, m, (unsigned)n, 0);
		if (done < 0) {
			if (errno == EINTR)
				continue;
			e->tx_dropped += errno == ENOBUFS;
			e->tx_failed += errno != ENOBUFS;
			e->tx_errno = errno == ENOBUFS ? e->tx_errno : errno;
			done = 1;
		}
		m += done;
		n -= done;
	}
}

static bool send_burst(struct wire *w, unsigned from, uint64_t now)
{
	struct wire_frame *f[WIRE_BURST];
	struct mmsghdr m[WIRE_BURST];
	struct iovec v[WIRE_BURST];
	struct tamper *t = &w->stage[from];
	uint64_t due, late;
	uint32_t len;
	int n, i;

	for (n = 0; n < WIRE_BURST; n++) {
		due = tamper_due(t);
		f[n] = tamper_get(t, now, &len);
		if (!f[n])
			break;
		late = now - due;
		w->late_sum += late;
		w->late_n++;
		w->late_max = late > w->late_max ? late : w->late_max;
		v[n] = (struct iovec){f[n]->data + f[n]->at, f[n]->len};
		m[n].msg_hdr = (struct msghdr){.msg_iov = &v[n], .msg_iovlen = 1};
	}
	end_send(&w->end[!from], m, n);
	for (i = 0; i < n; i++)
		frame_free(w, f[i]);
	return n == WIRE_BURST;
}

void wire_send(struct wire *w)
{
	uint64_t now = wire_now();
	bool more;

	do {
		more = send_burst(w, 0, now);
		more |= send_burst(w, 1, now);
	} while (more);
}

uint64_t wire_due(const struct wire *w)
{
	uint64_t a = tamper_due(&w->stage[0]), b = tamper_due(&w->stage[1]);

	return a < b ? a : b;
}

static void report_end(struct wire_end *e, FILE *f)
{
	struct tpacket_stats s = {0};
	socklen_t len = sizeof(s);

	/* Reading sets the kernel's count back. */
	if (!getsockopt(e->fd, SOL_PACKET, PACKET_STATISTICS, &s, &len))
		e->rx_overrun += s.tp_drops;
	fprintf(f, "{\"device\": \"%s\", \"rx_overrun\": %lu, \"rx_too_long\": %lu, \"rx_unfinished\": %lu, \"tx_dropped\": %lu, "
		   "\"tx_failed\": %lu, \"tx_error\": \"%s\"}",
		e->name, e->rx_overrun, e->rx_too_long, e->rx_unfinished, e->tx_dropped, e->tx_failed,
		e->tx_errno ? strerror(e->tx_errno) : "");
}

static void report_stage(const struct tamper_count *c, FILE *f)
{
	fprintf(f, "{\"in\": %lu, \"out\": %lu, \"held\": %lu, \"lost\": %lu, \"queue_dropped\": %lu, \"overrun\": %lu, "
		   "\"duplicated\": %lu, \"displaced\": %lu, \"reordered\": %lu, \"displacement\": %lu, \"corrupted\": %lu, "
		   "\"spared\": %lu, \"octets_in\": %lu, \"octets_out\": %lu}",
		c->in, c->out, c->held, c->lost, c->queue_dropped, c->overrun, c->duplicated, c->displaced, c->reordered,
		c->displacement, c->corrupted, c->spared, c->octets_in, c->octets_out);
}

void wire_report(struct wire *w, FILE *f)
{
	fputs("{\"there\": ", f);
	report_stage(&w->stage[0].count, f);
	fputs(", \"back\": ", f);
	report_stage(&w->stage[1].count, f);
	fputs(", \"first\": ", f);
	report_end(&w->end[0], f);
	fputs(", \"second\": ", f);
	report_end(&w->end[1], f);
	fprintf(f, ", \"late_us\": {\"mean\": %.1f, \"max\": %.1f}, \"wakes\": %lu, \"seconds\": %.3f}\n",
		w->late_n ? (double)w->late_sum / (double)w->late_n / 1e3 : 0.0, (double)w->late_max / 1e3, w->wakes,
		(double)(wire_now() - w->began) / 1e9);
}
