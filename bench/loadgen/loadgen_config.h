/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a run is asked to do: the command line, read and checked whole before DPDK starts.
 */
#ifndef LOADGEN_CONFIG_H
#define LOADGEN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <rte_ether.h>

#define LG_OBJECT_MAX (1u << 30) /* octets: half the sequence space is never in flight */
#define LG_EAL_ARGS 24
#define LG_TEXT 256

enum lg_mode { LG_HTTP, LG_STREAM };
enum lg_idle { LG_IDLE_POLL, LG_IDLE_YIELD, LG_IDLE_SLEEP };

/* Faults put into frames on their way out, in parts of a thousand. */
struct lg_tamper {
	uint32_t drop, dup, reorder;
	uint32_t corrupt; /* a payload octet changed, the checksum made right again: only verification finds it */
	uint32_t damage;  /* a payload octet changed, the checksum left: the receiver drops the segment */
};

struct lg_config {
	/* ports */
	bool loopback;
	char device[2][LG_TEXT]; /* client, server */
	bool no_huge, rx_checksum, tx_offload;
	uint32_t lcore, mbufs, memory, link_wait_ms;
	uint16_t mtu;
	char eal[LG_TEXT]; /* more arguments, separated by spaces */

	/* addresses; the low 32 bits of the first one count up */
	bool v6;
	uint8_t ip[2][16];
	uint32_t ips[2];
	uint16_t client_port, server_port;
	uint32_t client_ports;
	bool have_mac[2]; /* of the next hop, as client and server see it */
	struct rte_ether_addr mac[2];
	bool have_gateway[2]; /* whom to ask for it by ARP; else the other side's first address */
	uint8_t gateway[2][16];

	/* work */
	enum lg_mode mode;
	bool post, client_closes;
	uint32_t request, response;	  /* octets of the bodies */
	uint32_t transactions;		  /* on each connection; 0: without end */
	uint32_t concurrency;		  /* connections at work at a time */
	uint32_t flows_held;		  /* 0: no such test */
	double rate;			  /* new connections per second; 0: closed loop */
	uint64_t total;			  /* transactions; 0: as many as there is time for */
	double duration, warmup, hold;	  /* seconds */
	uint64_t think_us, timeout_ms;
	uint64_t seed;

	/* TCP */
	uint32_t window, cwnd, rto_min_ms, ack_every; /* cwnd 0: slow start and Reno */
	uint16_t mss;				      /* 0: what the MTU gives */

	struct lg_tamper tamper;
	enum lg_idle idle;
	bool quiet;
	const char *json; /* file, or NULL */
	char name[LG_TEXT];
};

/* Fills cfg with the defaults and what argv says. 0; 1 when help or the version was asked for and printed;
 * -EINVAL with one sentence in err. Strings of argv are kept. */
int lg_config_parse(struct lg_config *cfg, int argc, char **argv, char *err, size_t err_len);

/* Arguments for rte_eal_init, in memory of `buf`; their number, or -EINVAL. argv must hold LG_EAL_ARGS. */
int lg_config_eal(const struct lg_config *cfg, char **argv, char *buf, size_t buf_len);

/* DPDK's name of a device given as "NAME,arguments" or by PCI address. */
void lg_config_device_name(const char *device, char *name, size_t len);

/* Tuples (addresses and ports of both ends) that connections can have. */
static inline uint64_t lg_config_tuples(const struct lg_config *cfg)
{
	return (uint64_t)cfg->ips[0] * cfg->ips[1] * cfg->client_ports;
}

#endif
