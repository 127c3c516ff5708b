/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "cli/cli_table.h"

static void octets_have_units(void **state)
{
	char b[24];

	assert_string_equal(cli_octets(0, b), "0 B");
	assert_string_equal(cli_octets(1023, b), "1023 B");
	assert_string_equal(cli_octets(1024, b), "1.0 KiB");
	assert_string_equal(cli_octets(1536, b), "1.5 KiB");
	assert_string_equal(cli_octets(64 << 20, b), "64.0 MiB");
	assert_string_equal(cli_octets((1 << 20) - 1, b), "1.0 MiB");
	assert_string_equal(cli_octets(UINT64_MAX, b), "16.0 EiB");
}

static void durations_have_units(void **state)
{
	char b[24];

	assert_string_equal(cli_duration(850, b), "850 us");
	assert_string_equal(cli_duration(1500, b), "1 ms");
	assert_string_equal(cli_duration(1250000, b), "1.2 s");
	assert_string_equal(cli_duration(192000000, b), "3m12s");
	assert_string_equal(cli_duration(7500000000, b), "2h05m");
	assert_string_equal(cli_duration(86400000000ull * 4 + 3600000000ull * 3, b), "4d03h");
}

static void counts_are_grouped(void **state)
{
	char b[32];

	assert_string_equal(cli_count(0, b), "0");
	assert_string_equal(cli_count(999, b), "999");
	assert_string_equal(cli_count(1000, b), "1,000");
	assert_string_equal(cli_count(1234567, b), "1,234,567");
	assert_string_equal(cli_count(UINT64_MAX, b), "18,446,744,073,709,551,615");
}

static char *rendered(const char *command, const char *json)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	json_t *o = json_loads(json, 0, NULL);

	assert_non_null(o);
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(command_table[i].words, command) == 0)
			cli_render(&command_table[i], o, f);
	json_decref(o);
	fclose(f);
	return text;
}

static void tables_are_aligned(void **state)
{
	char *text = rendered("counters",
			      "{\"counters\":[{\"name\":\"rx\",\"value\":12345,\"text\":\"in\"},"
			      "{\"name\":\"longer\",\"value\":1,\"text\":\"out\"}]}");

	assert_string_equal(text, "COUNTER   VALUE  MEANING\n"
				  "rx       12,345  in\n"
				  "longer        1  out\n");
	free(text);
	text = rendered("flows", "{\"flows\":[],\"more\":false}");
	assert_string_equal(text, "no selected flows\n");
	free(text);
}

static void down_is_said(void **state)
{
	char *text = rendered("status", "{\"dataplane\":\"down\",\"reason\":\"not running\"}");

	assert_int_equal(strncmp(text, "dataplane: down (not running)\n", 30), 0);
	free(text);
}

static void events_are_lines(void **state)
{
	char *text = rendered("events", "{\"events\":[{\"time\":\"T\",\"writer\":\"worker "
					"0\",\"kind\":\"fail-open\",\"cause\":\"lost\","
					"\"offset\":17,\"text\":\"went on\"}]}");

	assert_string_equal(text, "T worker 0  fail-open cause=lost offset=17: went on\n");
	free(text);
}

#define HALF(towards, sack, timer)                                                                                     \
	"{\"towards\":\"" towards "\",\"state\":\"established\",\"snd_una\":4294967290,\"snd_nxt\":1442,"                    \
	"\"rcv_nxt\":77,\"snd_wnd\":65536,\"rcv_wnd\":1000000,\"snd_wscale\":7,\"rcv_wscale\":5,\"cc\":\"cubic\","       \
	"\"ca\":\"recovery\",\"cwnd\":14600,\"ssthresh\":null,\"srtt_us\":20125,\"rttvar_us\":800,\"min_rtt_us\":0,"       \
	"\"rto_us\":220000,\"backoff\":1,\"mss\":1460,\"rcv_mss\":1400,\"retrans\":3,\"rtos\":1,\"undos\":0,"              \
	"\"sack\":" sack ",\"pipe\":1448,\"sacked\":2896,\"lost\":1448,\"reo_wnd_us\":5000,\"unsent\":70000,"             \
	"\"unacked\":1448,\"rxq\":0,\"ooo_bytes\":10,\"ooo_ranges\":1,\"timer\":\"rto\",\"timer_us\":" timer ","          \
	"\"rx_finished\":true,\"tx_finished\":false}"

static void a_flow_side_by_side(void **state)
{
	char *text = rendered(
		"flows show",
		"{\"flow\":\"2a\",\"worker\":0,\"client\":\"10.0.0.1:4000\",\"server\":\"10.0.0.2:80\",\"state\":\"open\","
		"\"protocol\":\"http\",\"age_us\":3200000,\"idle_us\":12000,\"generation\":4,\"client_port\":\"inside\","
		"\"requests_unanswered\":1,\"joined\":false,\"halves\":[" HALF("client", "true", "210000") ","
		HALF("server", "false", "null") "],\"directions\":[{\"from\":\"client\",\"mode\":\"http\",\"messages\":1,"
		"\"octets\":112,\"begun\":false,\"route\":\"none\",\"rule\":\"\",\"offset\":null,\"identity\":null,\"raw\":0},"
		"{\"from\":\"server\",\"mode\":\"http\",\"messages\":1,\"octets\":3276800,\"begun\":true,\"route\":\"adapt\","
		"\"rule\":\"r\",\"service\":\"as-is\",\"offset\":3276700,\"sent\":3276700,\"preserved\":1048576,"
		"\"returned\":3000000,\"identity\":3000000,\"identity_ok\":true,\"left\":true,\"out\":0,\"raw\":0,\"eof\":true}]}");

	assert_string_equal(text,
			    "flow 2a: client 10.0.0.1:4000 at port inside, server 10.0.0.2:80, worker 0\n"
			    "open, http, age 3.2 s, idle 12 ms, rules of generation 4, 1 request unanswered\n"
			    "\n"
			    "TCP                 TOWARDS CLIENT                                 TOWARDS SERVER\n"
			    "state               established                                    established\n"
			    "ends of stream      received                                       received\n"
			    "snd_una             4294967290                                     4294967290\n"
			    "snd_nxt             1442                                           1442\n"
			    "rcv_nxt             77                                             77\n"
			    "peer's window       65,536, scale 7                                65,536, scale 7\n"
			    "our window          1,000,000, scale 5                             1,000,000, scale 5\n"
			    "congestion control  cubic, recovery                                cubic, recovery\n"
			    "cwnd                14,600 (10 segments)                           14,600 (10 segments)\n"
			    "ssthresh            -                                              -\n"
			    "in flight           1,448                                          1,448\n"
			    "rtt                 20.125 ms, +-0.800 ms, min -                   20.125 ms, +-0.800 ms, min -\n"
			    "rto                 220.000 ms, doubled 1 time                     220.000 ms, doubled 1 time\n"
			    "mss                 1460 out, 1400 in                              1460 out, 1400 in\n"
			    "retransmitted       3, timeouts 1, undone 0                        3, timeouts 1, undone 0\n"
			    "sack                sacked 2,896, lost 1,448, reordering 5.000 ms  off, lost 1,448\n"
			    "send queue          unsent 70,000, unacked 1,448                   unsent 70,000, unacked 1,448\n"
			    "receive queue       0                                              0\n"
			    "out of order        10 in 1 range                                  10 in 1 range\n"
			    "timer               rto in 210 ms                                  -\n"
			    "\n"
			    "MESSAGES              FROM CLIENT  FROM SERVER\n"
			    "mode                  http         http, ended\n"
			    "messages              1            1\n"
			    "octets                112          3,276,800\n"
			    "not in a message yet  0            0\n"
			    "message under way     -            adapt, the service has left\n"
			    "  rule                -            r\n"
			    "  service             -            as-is\n"
			    "  received            -            3,276,700\n"
			    "  sent to service     -            3,276,700\n"
			    "  preserved           -            1,048,576\n"
			    "  returned            -            3,000,000\n"
			    "  identity prefix     -            3,000,000\n"
			    "  waits to be sent    -            0\n");
	free(text);
}

static void a_flow_without_halves(void **state)
{
	char *text = rendered("flows show", "{\"flow\":\"2a\",\"state\":\"joined\",\"joined\":true,\"delta_from_client\":7,"
					    "\"delta_from_server\":-300,\"halves\":[],\"directions\":[]}");

	assert_non_null(strstr(text, "\njoined, -, age 0 us"));
	assert_non_null(strstr(text, "sequence numbers of the client +7, of the server -300\n"));
	assert_null(strstr(text, "TOWARDS"));
	free(text);
	text = rendered("flows show", "{\"state\":\"handshake\",\"halves\":[],\"directions\":[]}");
	assert_non_null(strstr(text, "no TCP halves: the handshake passes between the ends\n"));
	free(text);
}

/* An answer of another build may lack anything. */
static void empty_answers_do_no_harm(void **state)
{
	for (size_t i = 0; i < command_count; i++)
		free(rendered(command_table[i].words, "{}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_have_units),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(counts_are_grouped),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(down_is_said),
		cmocka_unit_test(events_are_lines),
		cmocka_unit_test(a_flow_side_by_side),
		cmocka_unit_test(a_flow_without_halves),
		cmocka_unit_test(empty_answers_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
