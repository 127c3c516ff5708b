/* SPDX-License-Identifier: BSD-3-Clause */
/* A callout server for the unit tests of this stage: sockets around libocp's server agent, driven by polling. */
#ifndef CALLOUT_CALLOUT_TEST_SERVER_H
#define CALLOUT_CALLOUT_TEST_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum test_mode {
	TEST_ECHO,   /* every octet back as data-have */
	TEST_AS_IS,  /* every octet back by data-as-is */
	TEST_SILENT, /* reads, answers probes, does nothing */
	TEST_REFUSE, /* xaction-end with error */
	TEST_LEAVE,  /* as-is for the first data, then out of the loop */
	TEST_PAUSE,  /* echo; pauses after the first data until test_server_need */
	TEST_CHAOS,  /* one of the above, another for each transaction */
	TEST_RAW,    /* accepts, sends test_server.raw, never speaks OCP */
	TEST_REFUSE_CONN,     /* connection-end with error for every connection-start; core: CE 400 */
	TEST_REFUSE_ORIGINAL, /* app-message-end with error for the original; core: AME 400 */
	TEST_REFUSE_ADAPTED,  /* begins an adapted message and ends it with error */
	TEST_PREDICT,         /* echo, with sizep, modp and AM-EL as in predicted_* */
	TEST_ACK,             /* echo; gives up its claim on the first half of the first data at once */
	TEST_ANSWER,          /* a request is answered: its octets come back as a response's body */
	TEST_STOP,            /* core: echo of what comes before the end that it has asked for (DWSR) */
};

#define TEST_CONNS 16

struct ocp_profile;
struct test_server;
struct test_conn {
	struct test_server *s;
	int fd;
	struct ocp_server *agent;
	uint8_t *out;
	size_t out_len, out_size;
	uint32_t xids[4096]; /* of PAUSE */
	uint32_t nxids;
};

struct test_server {
	int fd;
	enum test_mode mode;
	char address[128];         /* as in policy_service.address */
	const char *raw;
	uint64_t now_us;
	bool deaf;                 /* reads nothing */
	uint32_t accepted, started, ended;
	uint64_t octets;           /* of originals received */
	int32_t priority[TEST_CONNS];
	int64_t predicted_sizep, predicted_el, said_el; /* said_el: AM-EL of the last original */
	int32_t predicted_modp;
	uint32_t parts;            /* mask of OCP_HAS(part) that came */
	char aux[256];             /* the auxiliary request-header of the last response */
	bool refuse_profiles;      /* core: none is agreed on */
	bool answer_set;           /* core: profiles are answered with the following */
	uint32_t answer_aux;
	int64_t answer_pause, answer_stop, answer_interest; /* -1: not said */
	uint64_t last_data;        /* end of the last data of an original */
	struct test_conn conn[TEST_CONNS];
};

/* Mask of OCP_HAS(dialect) accepted besides the draft. */
extern uint32_t test_server_dialects;
/* address: "tcp:127.0.0.1:0", "tcp:[::1]:0" (the port is chosen) or "unix:/path". Asserts. */
void test_server_open(struct test_server *s, const char *address, enum test_mode mode);
void test_server_poll(struct test_server *s, uint64_t now_us);
/* Closes connections; listening goes on if listening. */
void test_server_drop(struct test_server *s);
void test_server_close(struct test_server *s);
/* Writes octets as they are on every connection. */
void test_server_write_raw(struct test_server *s, const char *octets);
/* data-need on everything paused. */
void test_server_need(struct test_server *s);
uint32_t test_server_conns(const struct test_server *s);

#endif
