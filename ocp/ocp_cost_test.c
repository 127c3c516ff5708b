/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Framing and parsing a message with data costs the same whatever its payload's size: nothing looks
 * at the octets. Judged by a ratio of times taken in turns in one run: one copy of 64 KiB, from cache
 * to cache, makes it 8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "ocp/ocp.h"

#define SMALL 64u
#define LARGE 65536u
#define ROUNDS 400
#define TIMES 100 /* messages in a round */
#define LIMIT 3   /* the smallest round of each is compared */

struct wire {
	enum ocp_msg_type type;
	uint32_t payload;
	uint8_t *octets;
	size_t len;
};

static size_t frame(const struct wire *w, char *head)
{
	struct ocp_msg m = {.type = w->type,
			    .has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_OFFSET) | OCP_HAS(OCP_P_AM_PART),
			    .xid = 123456,
			    .am_id = 1,
			    .offset = 10000000,
			    .kept_size = 10000000,
			    .am_part = OCP_PART_RESPONSE_BODY};
	size_t n = 0;

	m.has |= w->type == OCP_MSG_DUM ? OCP_HAS(OCP_P_KEPT) : OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_COPIED);
	assert_int_equal(ocp_encode(&m, w->payload, head, OCP_HEAD_MAX, &n), 0);
	return n;
}

static void make(struct wire *w, enum ocp_msg_type type, uint32_t payload)
{
	*w = (struct wire){.type = type, .payload = payload};
	w->octets = malloc(OCP_HEAD_MAX + payload + OCP_TAIL_LEN);
	assert_non_null(w->octets);
	w->len = frame(w, (char *)w->octets);
	memset(w->octets + w->len, ';', payload);
	memcpy(w->octets + w->len + payload, OCP_TAIL, OCP_TAIL_LEN);
	w->len += payload + OCP_TAIL_LEN;
}

static void parse(struct ocp_decoder *d, const struct wire *w)
{
	size_t at = 0, events = 0;
	struct ocp_event ev;

	do {
		at += ocp_decoder_feed(d, w->octets + at, w->len - at, &ev);
		events++;
		if (ev.type == OCP_EVENT_PAYLOAD)
			assert_int_equal(ev.len, w->payload);
	} while (ev.type != OCP_EVENT_END);
	assert_int_equal(events, 3);
	assert_int_equal(at, w->len);
}

/* Nanoseconds of one round. */
static uint64_t round_of(struct ocp_decoder *d, const struct wire *w)
{
	struct timespec from, to;
	char head[OCP_HEAD_MAX];

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < TIMES; i++) {
		frame(w, head);
		parse(d, w);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

static void compare(enum ocp_msg_type type)
{
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	uint64_t small = UINT64_MAX, large = UINT64_MAX;
	struct wire s, l;

	make(&s, type, SMALL);
	make(&l, type, LARGE);
	ocp_decoder_dialect(d, ocp_msg_dialect(type));
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t = round_of(d, &s);

		small = t < small ? t : small;
		t = round_of(d, &l);
		large = t < large ? t : large;
	}
	print_message("%s: %llu ns at %u octets, %llu ns at %u\n", ocp_msg_name(type),
		      (unsigned long long)small / TIMES, SMALL, (unsigned long long)large / TIMES, LARGE);
	if (large > LIMIT * small)
		fail_msg("%s: cost grows with the payload", ocp_msg_name(type));
	ocp_decoder_destroy(d);
	free(s.octets);
	free(l.octets);
}

static void test_data_have(void **state)
{
	compare(OCP_MSG_DATA_HAVE);
}

static void test_dum(void **state)
{
	compare(OCP_MSG_DUM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_have),
		cmocka_unit_test(test_dum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
