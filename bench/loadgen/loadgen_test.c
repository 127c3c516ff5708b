/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator against itself over rings: every kind of load is right, survives loss, and does not survive an octet
 * that is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_eal.h>
#include "loadgen_http.h"
#include "loadgen_pattern.h"
#include "loadgen_run.h"

static struct lg_run *run;
static struct lg_config cfg;
static char note[256];

/* Runs with these options, words separated by spaces; whether all was right. */
static bool load(const char *options)
{
	char text[512], err[512], *argv[40] = {"opes-loadgen", "--loopback", "--quiet", "--idle", "yield"};
	int argc = 5;
	bool ok;

	snprintf(text, sizeof(text), "%s", options);
	for (char *save, *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	if (lg_config_parse(&cfg, argc, argv, err, sizeof(err)) != 0 ||
	    lg_run_init(run, &cfg, err, sizeof(err)) != 0 || lg_run(run, err, sizeof(err)) != 0)
		fail_msg("%s: %s", options, err);
	ok = lg_result_ok(&cfg, &run->result, note, sizeof(note));
	lg_run_free(run);
	return ok;
}

static void good(const char *options)
{
	if (!load(options))
		fail_msg("%s: %s", options, note);
	assert_true(run->result.all[0].opened == run->result.all[0].closed);
}

static void test_pattern(void **state)
{
	uint8_t a[1500], b[1500];

	lg_pattern_init(7);
	for (unsigned off = 0; off < 600; off += 37) {
		for (size_t len = 0; len < sizeof(a); len += 101) {
			lg_pattern_fill(a, 99, off, len);
			for (size_t i = 0; i < len; i++)
				assert_int_equal(a[i], lg_pattern_at(99, off + i));
			assert_int_equal(lg_pattern_check(a, 99, off, len), len);
			if (len == 0)
				continue;
			a[len / 2] ^= 1;
			assert_int_equal(lg_pattern_check(a, 99, off, len), len / 2);
		}
	}
	/* Other objects, places and blocks are other octets. */
	lg_pattern_fill(a, 99, 0, sizeof(a));
	lg_pattern_fill(b, 100, 0, sizeof(b));
	assert_memory_not_equal(a, b, 16);
	assert_true(lg_pattern_check(a, 99, 256, 1000) < 16);
	assert_true(lg_pattern_check(a + 1, 99, 0, 1000) < 16);
}

static void test_sum(void **state)
{
	uint8_t d[131];

	for (size_t i = 0; i < sizeof(d); i++)
		d[i] = (uint8_t)(i * 71 + 255);
	for (size_t len = 0; len < sizeof(d); len++) {
		uint32_t want = 0;
		uint16_t got = lg_sum_fold(lg_sum(d, len));

		for (size_t i = 0; i < len; i++)
			want += i % 2 ? d[i] : (uint32_t)d[i] << 8;
		while (want >> 16)
			want = (want & 0xffff) + (want >> 16);
		assert_int_equal((uint16_t)(got << 8 | got >> 8), (uint16_t)~want);
	}
}

static void test_hist(void **state)
{
	static struct lg_hist h;

	lg_hist_clear(&h);
	assert_int_equal(lg_hist_quantile(&h, 0.5), 0);
	for (uint64_t v = 1; v <= 1000000; v++)
		lg_hist_add(&h, v);
	for (double q = 0.001; q < 1; q += 0.0123) {
		double got = (double)lg_hist_quantile(&h, q), want = q * 1e6;

		assert_true(got >= want - 1 && got <= want * 1.017 + 1);
	}
	assert_int_equal(lg_hist_quantile(&h, 1), 1000000);
	lg_hist_add(&h, UINT64_MAX / 2);
	assert_true(lg_hist_quantile(&h, 1) == UINT64_MAX / 2);
}

static void test_heads(void **state)
{
	struct lg_config c = {.post = true};
	struct lg_head in = {.id = 0x1234, .body = 77, .response = 5, .close = true}, out;
	char text[LG_HEAD_LEN_MAX];
	const char *why;
	unsigned n = lg_http_request(&c, &in, text);

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(lg_http_parse_request(&c, (uint8_t *)text, i, &out, &why), 0);
	assert_int_equal(lg_http_parse_request(&c, (uint8_t *)text, n, &out, &why), n);
	assert_true(out.id == in.id && out.body == 77 && out.response == 5 && out.close);
	text[1] ^= 1;
	assert_true(lg_http_parse_request(&c, (uint8_t *)text, n, &out, &why) < 0);
	n = lg_http_response(&c, &in, text);
	assert_int_equal(lg_http_parse_response(&c, (uint8_t *)text, n, &out, &why), n);
	assert_true(out.status == 200 && out.body == 77 && out.id == 0x1234 && out.close);
}

static void test_loads(void **state)
{
	good("--total 3000");
	assert_true(run->result.all[0].transactions == 3000);
	assert_true(run->result.all[0].retransmits + run->result.all[1].retransmits == 0);
	good("--total 3000 --transactions 0 --response 20000");
	good("--total 300 --transactions 7 --post --request 300KiB --response 3");
	good("--total 20 --mode stream --request 1MiB --response 1MiB --concurrency 4");
	good("--total 1000 --client-closes --think 2ms --response 0");
	good("--total 1000 --client-ip 2001:db8::1 --server-ip 2001:db8:1::1 --response 9999");
	good("--total 500 --mss 100 --window 2048 --response 5000");
	good("--total 200 --rate 2000 --cwnd 8KiB --response 100KiB");
	/* Fewer tuples than connections: they are used again at once. */
	good("--total 3000 --clients 1 --client-ports 2000-2063");
}

static void test_held(void **state)
{
	good("--flows-held 20000 --hold 50ms");
	assert_int_equal(run->result.peak, 20000);
	assert_true(run->result.all[0].transactions == 40000);
}

static void test_faults(void **state)
{
	const struct lg_result *r = &run->result;

	good("--total 60 --transactions 0 --response 1MiB --concurrency 8 --rto-min 20ms --tamper drop=10");
	assert_true(r->all[1].fast_retransmits > 50);
	assert_true(r->all[0].out_of_order > 0);
	/* A loss that costs a timeout each time would show here. */
	assert_true(r->all[1].timeouts < r->all[1].fast_retransmits);
	good("--total 400 --response 30000 --rto-min 10ms --timeout 60s "
	     "--tamper drop=20,dup=20,reorder=20,damage=20");
	assert_true(r->all[0].bad_checksum > 0 && r->all[0].duplicates > 0);
	good("--total 200 --post --request 30000 --transactions 5 --rto-min 10ms --timeout 60s "
	     "--tamper drop=20,dup=20,reorder=20,damage=20");
}

static void test_wrong_octet_is_found(void **state)
{
	assert_false(load("--total 200 --response 100KiB --timeout 1s --tamper corrupt=2"));
	assert_true(run->result.all[0].failed[LG_FAIL_OCTETS] > 0);
	assert_false(load("--total 200 --post --request 100KiB --timeout 1s --tamper corrupt=2"));
	assert_true(run->result.all[1].failed[LG_FAIL_OCTETS] > 0);
}

static void test_silence_is_found(void **state)
{
	assert_false(load("--duration 500ms --timeout 100ms --concurrency 3 --client-next-mac 02:00:00:00:00:02 "
			  "--server-next-mac 02:00:00:00:00:01 --tamper drop=1000"));
	assert_true(run->result.all[0].failed[LG_FAIL_CONNECT] > 0);
}

static void test_command_line(void **state)
{
	static const char *const wrong[] = {
		"--loopback --frobnicate", "--loopback --mtu 10", "--loopback --rate", "--loopback x",
		"--client-device net_ring0", "--loopback --client-ip 2001:db8::1",
		"--loopback --request 5", "--loopback --concurrency 70000 --clients 1",
		"--loopback --mss 9000", "--loopback --tamper loss=5", "--loopback --think 5parsecs"};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[256], err[512] = "", *argv[16] = {"opes-loadgen"};
		int argc = 1;

		snprintf(text, sizeof(text), "%s", wrong[i]);
		for (char *save, *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
			argv[argc++] = p;
		if (lg_config_parse(&cfg, argc, argv, err, sizeof(err)) >= 0 || !err[0])
			fail_msg("accepted: %s", wrong[i]);
	}
}

int main(void)
{
	char *eal[] = {"loadgen_test", "--no-shconf", "--no-telemetry", "--no-huge", "--no-pci", "-m", "192", "--log-level=error"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern), cmocka_unit_test(test_sum),
		cmocka_unit_test(test_hist), cmocka_unit_test(test_heads),
		cmocka_unit_test(test_loads), cmocka_unit_test(test_held),
		cmocka_unit_test(test_faults), cmocka_unit_test(test_wrong_octet_is_found),
		cmocka_unit_test(test_silence_is_found), cmocka_unit_test(test_command_line)};
	int rc;

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return 1;
	run = malloc(sizeof(*run));
	rc = run ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	free(run);
	return rc;
}
