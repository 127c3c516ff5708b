/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tamper/tamper_frame.h"
#include "tamper/tamper_options.h"

static void test_good_line(void **state)
{
	char line[] = "--loss 1% --dup=0.001:5ms --reorder 5%:2-8:1ms --delay 20ms:250us --corrupt 0.1%:tcp --rate 100M:64k "
		      "--seed 7 --nth loss:3+10 --nth corrupt:1 --held-max 500 --back --delay 0ms --loss 0.5",
	     error[TAMPER_ERROR_MAX];
	struct tamper_options o;
	const struct tamper_conf *c = o.conf;

	assert_int_equal(tamper_options_line(&o, line, error), 0);
	assert_int_equal(c->chance[TAMPER_LOSS], 10000);
	assert_int_equal(c->chance[TAMPER_DUP], 1000);
	assert_int_equal(c->dup_ns, 5000000);
	assert_int_equal(c->chance[TAMPER_REORDER], 50000);
	assert_int_equal(c->displace_min, 2);
	assert_int_equal(c->displace_max, 8);
	assert_int_equal(c->reorder_ns, 1000000);
	assert_int_equal(c->delay_ns, 20000000);
	assert_int_equal(c->jitter_ns, 250000);
	assert_int_equal(c->chance[TAMPER_CORRUPT], 1000);
	assert_int_equal(c->place, TAMPER_TCP);
	assert_int_equal(c->rate, 12500000);
	assert_int_equal(c->queue, 64000);
	assert_int_equal(c->seed, 7);
	assert_int_equal(c->nths, 2);
	assert_int_equal(c->nth[0].first, 3);
	assert_int_equal(c->nth[0].every, 10);
	assert_int_equal(c->nth[1].fault, TAMPER_CORRUPT);
	assert_int_equal(c->held_max, 500);
	assert_int_equal(c[1].delay_ns, 0);
	assert_int_equal(c[1].chance[TAMPER_LOSS], 500000);
	assert_int_equal(c[1].chance[TAMPER_DUP], 1000);
	assert_int_not_equal(c[1].seed, 7);
}

/* What is wrong is refused in words that name it. */
static void test_wrong_lines(void **state)
{
	static const char *const wrong[][2] = {
		{"--loss 101%", "--loss"}, {"--loss", "--loss"}, {"--loss -1", "--loss"}, {"--loss 1%x", "--loss"},
		{"--loss nan", "--loss"}, {"--dup 1%:5", "5"}, {"--reorder 5%", "5%"}, {"--reorder 5%:33", "33"},
		{"--reorder 5%:0", "--reorder"}, {"--reorder 5%:8-2", "displacement"}, {"--delay 20", "20"},
		{"--delay 2h", "2h"}, {"--corrupt 1%:head", "head"}, {"--rate 0", "--rate"}, {"--rate 5T", "5T"},
		{"--nth loss:0", "loss:0"}, {"--nth lost:1", "lost"}, {"--nth loss", "--nth"}, {"--seed -3", "-3"},
		{"--held-max 1", "--held-max"}, {"--speed 3", "--speed"}, {"eth0", "interfaces"}, {"a b c", "third"},
		{"--control", "path"}, {"--reorder 5%:8:0ms", "without end"},
	};
	char line[100], error[TAMPER_ERROR_MAX];
	struct tamper_options o;
	unsigned i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "%s", wrong[i][0]);
		*error = 0;
		assert_int_equal(tamper_options_line(&o, line, error), -1);
		if (!strstr(error, wrong[i][1]))
			fail_msg("\"%s\" gave \"%s\"", wrong[i][0], error);
	}
}

static void expect(const uint8_t *f, uint32_t len, uint32_t place, uint32_t from, uint32_t to)
{
	uint32_t a = 0, b = 0;
	bool is = tamper_frame_span(f, len, place, 0, &a, &b);

	assert_int_equal(is, to != 0);
	if (is) {
		assert_int_equal(a, from);
		assert_int_equal(b, to);
	}
}

static void test_places(void **state)
{
	uint8_t v4[100] = {[12] = 8, 0, 0x45, 0, 0, 80, [23] = 6, [46] = 0x80};
	uint8_t v6[120] = {[12] = 0x81, 0, 0, 5, 0x86, 0xdd, 0x60, [22] = 0, 60, 60, [58] = 6, 0, [78] = 0x50};
	uint32_t a, b, len, place;

	expect(v4, 100, TAMPER_ANY, 14, 94);
	expect(v4, 100, TAMPER_IP, 14, 34);
	expect(v4, 100, TAMPER_TCP, 34, 66);
	expect(v4, 100, TAMPER_PAYLOAD, 66, 94);
	expect(v4, 100, TAMPER_ETHERNET, 0, 14);
	expect(v4, 100, TAMPER_OCTET + 99, 99, 100);
	expect(v4, 100, TAMPER_OCTET + 100, 0, 0);
	expect(v6, 120, TAMPER_IP, 18, 66);
	expect(v6, 120, TAMPER_TCP, 66, 86);
	expect(v6, 120, TAMPER_PAYLOAD, 86, 118);
	v4[23] = 17;
	expect(v4, 100, TAMPER_TCP, 0, 0);
	expect(v4, 100, TAMPER_IP, 14, 34);
	expect(v4, 100, TAMPER_MIXED, 14, 34);
	v4[23] = 6;
	v4[46] = 0xf0; /* with 79 octets in all, longer than the packet */
	v4[17] = 79;
	expect(v4, 100, TAMPER_TCP, 0, 0);
	v4[12] = 6;
	expect(v4, 100, TAMPER_ANY, 0, 0);
	/* No length makes it look past the frame (the sanitizer sees that), nor name a place outside. */
	v4[12] = 8;
	v4[46] = 0x50;
	for (len = 0; len <= 100; len++)
		for (place = 0; place < TAMPER_OCTET; place++) {
			uint8_t exact[len + 1];

			memcpy(exact, v4, len);
			if (tamper_frame_span(exact, len, place, 2, &a, &b))
				assert_true(a < b && b <= len);
			memcpy(exact, v6, len);
			if (tamper_frame_span(exact, len, place, 1, &a, &b))
				assert_true(a < b && b <= len);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_line),
		cmocka_unit_test(test_wrong_lines),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests_name("tamper_options", tests, NULL, NULL);
}
