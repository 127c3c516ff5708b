/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of several segments: sent for ports that cut them (TSO), received from ports that merge them (LRO). */
#include "session_test_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_mbuf.h>

#define OCTETS 60000u
#define LOG_FRAMES 2048

static const char rules[] = "  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

static char text[2][OCTETS + 1];

/* What was on the wire. */
static struct log {
	unsigned n;
	uint16_t id; /* of the first frame: others are told from it */
	struct {
		uint8_t port, octets[1514];
		uint16_t len;
	} frame[LOG_FRAMES];
} logs[2];
static struct log *logging;

static void log_frame(unsigned port, const uint8_t *frame, uint32_t len)
{
	struct log *l = logging;
	uint16_t id = (uint16_t)(frame[18] << 8 | frame[19]);

	assert_true(l->n < LOG_FRAMES && len <= 1514);
	if (!l->n)
		l->id = id;
	id = (uint16_t)(id - l->id);
	l->frame[l->n].port = (uint8_t)port;
	l->frame[l->n].len = (uint16_t)len;
	memcpy(l->frame[l->n].octets, frame, len);
	l->frame[l->n].octets[18] = (uint8_t)(id >> 8);
	l->frame[l->n].octets[19] = (uint8_t)id;
	memset(l->frame[l->n].octets + 24, 0, 2); /* the sum over it */
	l->n++;
}

static void begin(unsigned split, bool merged, enum world_service service)
{
	world.service = service;
	world.split = split;
	world.merged = merged;
	world.loss = 0;
	world.hold = 16;
	world.large[0] = world.large[1] = 0;
	for (unsigned side = 0; side < 2; side++)
		for (uint32_t i = 0; i < OCTETS; i++)
			text[side][i] = (char)('a' + (i * 7 + i / 251 + side) % 26);
	world_open();
}

/* Both ends send n octets and finish. */
static void both_ways(uint32_t n, bool upper)
{
	static char want[OCTETS];

	world_send(0, text[0], n);
	world_send(1, text[1], n);
	world_fin(0);
	world_fin(1);
	world_pass(world.loss ? 30000000 : 3000000);
	for (unsigned side = 0; side < 2; side++) {
		for (uint32_t i = 0; i < n; i++)
			want[i] = (char)(upper ? text[!side][i] - 'a' + 'A' : text[!side][i]);
		assert_int_equal(world.end[side].len, n);
		assert_true(world.end[side].fin);
		assert_memory_equal(world_got(side), want, n);
	}
}

/* Cut by the test's own segmenter, they are the very frames that a port without TSO is given, octet for octet. */
static void test_same_as_single(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		world_chains = true;
		world_tso = i ? 64 : 0;
		world_start(2047, 8191, rules, NULL);
		logging = &logs[i];
		logging->n = 0;
		world.sent = log_frame;
		begin(1460, true, SERVICE_AS_IS); /* whole segments: single ones keep the bounds they came with */
		both_ways(25 * 1460, false);
		assert_true(i ? world.large[1] > 3 : world.large[1] == 0);
		world_close();
		world_stop();
	}
	assert_int_equal(logs[0].n, logs[1].n);
	for (unsigned i = 0; i < logs[0].n; i++) {
		assert_int_equal(logs[0].frame[i].port, logs[1].frame[i].port);
		assert_int_equal(logs[0].frame[i].len, logs[1].frame[i].len);
		assert_memory_equal(logs[0].frame[i].octets, logs[1].frame[i].octets, logs[0].frame[i].len);
	}
}

/* Merged ones in, in chains cut anywhere, through a service that gives references back or changes everything; out in large
 * ones or single ones; nothing that is with a port is written to (world.hold), nothing leaks. */
static void test_merged(void **state)
{
	static const unsigned splits[] = {1460, 1990, 1024, 513, 100};
	static const unsigned ports[] = {0, 8, 64};

	for (unsigned p = 0; p < RTE_DIM(ports); p++) {
		world_chains = true;
		world_tso = ports[p];
		world_start(4095, 16383, rules, NULL);
		for (unsigned i = 0; i < RTE_DIM(splits) * 2; i++) {
			begin(splits[i / 2], true, i & 1 ? SERVICE_UPPER : SERVICE_AS_IS);
			both_ways(OCTETS, i & 1);
			assert_true(world.large[0] > 4);
			assert_true(ports[p] < 64 || splits[i / 2] < 1024 || world.large[1] > 4);
			assert_true(ports[p] || world.large[1] == 0);
			world_close();
		}
		world_stop();
	}
}

/* To a port that does nothing by itself: its checksums are made here, of chains. */
static void test_merged_to_plain_port(void **state)
{
	world_chains = false;
	world_tso = 0;
	world_start(4095, 16383, rules, NULL);
	begin(1460, true, SERVICE_AS_IS);
	both_ways(OCTETS, false);
	assert_true(world.large[0] > 4);
	world_close();
	world_stop();
}

static void test_loss(void **state)
{
	world_chains = true;
	world_tso = 64;
	world_start(4095, 16383, rules, NULL);
	for (unsigned i = 0; i < 12; i++) {
		world.seed = i + 1;
		begin(1460 - i * 31, i & 1, i & 2 ? SERVICE_UPPER : SERVICE_AS_IS);
		world.loss = 20;
		world.hold = i & 4 ? 16 : 0; /* what is not with a port any more goes again as it is (INV-TX-2) */
		both_ways(OCTETS, i & 2);
		assert_true(world.large[1] > 0);
		world_close();
	}
	world_stop();
}

/* Buffers or descriptors run out while large frames are made: what was begun is undone, and later it goes on. */
static void test_no_memory(void **state)
{
	world_chains = true;
	world_tso = 64;
	world_start(4095, 16383, rules, NULL);
	for (unsigned i = 0; i < 24; i++) {
		begin(1460, i & 1, i & 2 ? SERVICE_UPPER : SERVICE_AS_IS);
		world_send(0, text[0], OCTETS);
		world_starve(i & 4 ? 3 + i : 4000, i & 4 ? 2000 : i / 2);
		for (unsigned k = 0; k < 40; k++) {
			world_round();
			world.now += 1000;
		}
		world_feed();
		world_fin(0);
		world_pass(30000000);
		if (world.end[1].len == OCTETS && !(i & 2)) /* else the service was left out, or the flow given up */
			assert_memory_equal(world_got(1), text[0], OCTETS);
		world_close();
	}
	world_stop();
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_single), cmocka_unit_test(test_merged),
		cmocka_unit_test(test_merged_to_plain_port), cmocka_unit_test(test_loss), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(run);
}
