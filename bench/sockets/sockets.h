/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What two bare processes reach over the sockets that lead to callout servers: the yardstick for the callout path.
 * Process A stands for the processor: it gathers framed chunks, as many as one call takes, and reads what comes back.
 * Process B stands for a callout server: it reads, looks at the framing of every chunk, and answers each with one short
 * message (as-is) or with all its octets (echo). Neither does anything else. libc only.
 *
 * Errors: 0 or -errno; what went wrong with octets is told on standard error and is -EBADMSG.
 */
#ifndef SOCKETS_SOCKETS_H
#define SOCKETS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCKETS_GATHER (256 * 1024) /* octets per call, either way */
#define SOCKETS_ARENA (4u << 20)    /* memory that payload comes from */
#define SOCKETS_OBJECT_MAX (2u << 20)
#define SOCKETS_VERIFY_EVERY 64u    /* of so many chunks one is compared octet for octet */

/* Text around the payload of a chunk, of fixed width so that neither end spends time on it. */
#define SOCKETS_HEAD_LEN 39u /* data-have XXXXXXX 1 OOOOOOOOO CR LF LLLLLLL: */
#define SOCKETS_TAIL "\r\n;\r\n"
#define SOCKETS_TAIL_LEN 5u
#define SOCKETS_ANSWER_LEN 42u /* data-as-is XXXXXXX 1 OOOOOOOOO LLLLLLL 1;CR LF, padded */

struct sockets_case {
	bool tcp;          /* loopback TCP instead of a Unix stream socket */
	bool echo;         /* else as-is */
	bool spin;         /* poll the sockets instead of sleeping on them */
	bool spoil;        /* B falsifies octets: the run must fail */
	int cpu[2];        /* of A and of B */
	uint32_t object;   /* octets of one object */
	uint32_t chunk;    /* payload octets of one chunk; the last of an object may be shorter */
	uint32_t piece;    /* octets of payload that lie together, as in packets; 0: all of a chunk */
	double seconds;
};

struct sockets_result {
	double value[2];      /* stream: octets per second of payload A to B; ping: p50 and p99 in ns */
	double probe_ns[2];   /* round trip of a cache line between the processors, before and after */
	double cpu_seconds[2]; /* spent by A and by B */
	uint64_t count;       /* chunks, or pings */
};

/* A pattern that A sends and B compares with; made once, before processes part. */
int sockets_arena_make(void);
/* Payload of octet offset of object number n. */
const uint8_t *sockets_payload(uint32_t n, uint32_t object, uint32_t offset);

int sockets_pin(int cpu);
/* Two connected stream sockets with the options the processor (fd[0]) and its servers (fd[1]) set. */
int sockets_pair(bool tcp, int fd[2]);
/* Send all of it, whatever the socket's mode. */
int sockets_send_all(int fd, const void *p, size_t len, bool spin);
/* Clock in ns. */
uint64_t sockets_now(void);
/* Start B: a child pinned to cpu that runs fn(arg) and exits with its result. */
int sockets_child(int cpu, int (*fn)(void *arg), void *arg, int *pid);
/* Wait for it; 0 if it exited with 0. cpu_seconds may be NULL. */
int sockets_join(int pid, double *cpu_seconds);

int sockets_stream(const struct sockets_case *c, struct sockets_result *r);
/* A message of c->object octets there, SOCKETS_ANSWER_LEN back, one at a time. */
int sockets_ping(const struct sockets_case *c, struct sockets_result *r);
/* Round trip of one cache line between two processors in ns; 0 if they are the same one or on an error. */
double sockets_probe(int cpu_a, int cpu_b);

/*
 * Framing of chunks on their way in, wherever the reads cut them. each() is called for every whole chunk. Payload is
 * compared for one chunk of SOCKETS_VERIFY_EVERY.
 */
struct sockets_parser {
	uint32_t object, chunk;
	uint32_t number, offset; /* that must come next */
	uint32_t head, left, tail; /* octets of the head had; of payload and tail still missing */
	uint32_t length;
	uint64_t chunks;
	char text[SOCKETS_HEAD_LEN];
};
void sockets_head(char *to, uint32_t number, uint32_t offset, uint32_t len);
void sockets_answer(char *to, uint32_t number, uint32_t offset, uint32_t len);
int sockets_parse(struct sockets_parser *p, const uint8_t *b, size_t n,
		  void (*each)(void *arg, uint32_t number, uint32_t offset, uint32_t len), void *arg);

#endif
