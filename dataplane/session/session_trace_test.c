/* SPDX-License-Identifier: BSD-3-Clause */
/* Trace entries and bypass of messages on their way through a session: which messages, what they say, how they are cut. */
#include "session_test_world.h"

#include <stdio.h>
#include <string.h>

#define SYS "http://sys.example/"
#define S_URI "urn:opes:service:s"
#define T_URI "http://t.example/"
#define BY(uri) SYS ";service=\"" uri "\""

#define RULES                                                                                                        \
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"                         \
	"  - {name: block, match: {protocol: http, kind: request, path: {prefix: /block}}, action: block}\n"         \
	"  - {name: observe, match: {protocol: http, path: {prefix: /observe}}, action: observe, service: s}\n"      \
	"  - {name: s, match: {protocol: http, path: {prefix: /s}}, action: adapt, service: s, bypassable: yes}\n"   \
	"  - {name: c, match: {protocol: http, path: {prefix: /c}}, action: adapt, service: s}\n"                    \
	"  - {name: t, match: {protocol: http, path: {prefix: /t}}, action: adapt, service: t}\n"

static const char adapted_rules[] = RULES "opes: {system-uri: \"" SYS "\"}\n";
static const char newer_rules[] = RULES "opes: {system-uri: \"" SYS "x\", bypass-clients: [0.0.0.0/0]}\n";
static const char all_rules[] = RULES "opes: {system-uri: \"" SYS "\", trace: all, via: always}\n";
static const char refusing_rules[] = RULES "opes: {system-uri: \"" SYS "\", trace-overflow: refuse, trace-limit: 2KiB}\n";

static void client(const char *text)
{
	world_send(0, text, (uint32_t)strlen(text));
	world_settle();
}

static void server(const char *text)
{
	world_send(1, text, (uint32_t)strlen(text));
	world_settle();
}

#define REQ(path, more) "GET " path " HTTP/1.1\r\nHost: a\r\n" more "\r\n"
#define OK(more) "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" more "\r\nok"
#define assert_got(side, text) assert_string_equal(world_got(side), text)
#define assert_has(text, part)                                                                                       \
	do {                                                                                                         \
		if (!strstr(text, part))                                                                             \
			fail_msg("'%s' has no '%s'", text, part);                                                    \
	} while (0)

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.rules = 0;
	world.split = 0;
	world_open();
	return 0;
}

static int done(void **state)
{
	world_close();
	return 0;
}

/* --- traces of what services had --------------------------------------------------------------------------------- */

static void test_adapted(void **state)
{
	uint64_t before = world_count(STATS_trace_added);

	client(REQ("/s", "") "POST /s/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nOPES-System: x:1\r\n\r\n2\r\nab\r\n0\r\n\r\n");
	assert_got(1, REQ("/s", "OPES-System: " BY(S_URI) "\r\n")
		   "POST /s/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nOPES-System: x:1, " BY(S_URI) "\r\n\r\n"
		   "2\r\nab\r\n0\r\n\r\n");
	server("HTTP/1.1 100 Continue\r\n\r\n" OK("OPES-Via: x:2\r\n") OK(""));
	assert_got(0, "HTTP/1.1 100 Continue\r\n\r\n" OK("OPES-Via: x:2, " BY(S_URI) "\r\nOPES-System: " BY(S_URI) "\r\n")
		   OK("OPES-System: " BY(S_URI) "\r\n"));
	assert_int_equal(world_count(STATS_trace_added) - before, 4);
	client(REQ("/pass", "OPES-System: x:1\r\nOPES-System: x:2\r\n") REQ("/other", ""));
	assert_got(1, REQ("/pass", "OPES-System: x:1\r\nOPES-System: x:2\r\n") REQ("/other", "")); /* untouched */
	server(OK("") OK(""));
	assert_got(0, OK("") OK(""));
	assert_int_equal(world_count(STATS_trace_added) - before, 4);
}

static void test_split_anyhow(void **state)
{
	static const char request[] = REQ("/s", "OPES-System: x:1,\tx:2\r\nOPES-Via: y:1\r\nA: b\r\nOPES-System: x:3\r\n") REQ("/t", "");
	char want[4096];

	client(request);
	strcpy(want, world_got(1));
	assert_has(want, "OPES-System: x:1, x:2, x:3, " BY(S_URI) "\r\n");
	assert_has(want, "OPES-Via: y:1, " BY(S_URI) "\r\n");
	assert_has(want, "OPES-System: " BY(T_URI) "\r\n");
	for (unsigned split = 1; split < sizeof(request); split += split < 40 ? 1 : 7) {
		done(state);
		begin(state);
		for (size_t at = 0; at < sizeof(request) - 1; at += split) {
			world_send(0, request + at, (uint32_t)RTE_MIN((size_t)split, sizeof(request) - 1 - at));
			if (split > 3 || at % 5 == 0)
				world_settle();
		}
		world_settle();
		assert_got(1, want);
	}
}

static void test_service_cannot_forge(void **state)
{
	static const char head[] = "GET /s HTTP/1.1\r\nHost: a\r\nOPES-System: y:1\r\nOPES-Via: y:2\r\n\r\n";
	uint64_t before = world_count(STATS_trace_restored);

	world.service = SERVICE_MANUAL;
	client(REQ("/s", "OPES-System: x:1\r\nOPES-Bypass: " T_URI "\r\n"));
	world_am_start(0, 2, -1, false);
	world_data(0, 2, head);
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_got(1, "GET /s HTTP/1.1\r\nHost: a\r\nOPES-System: x:1, " BY(S_URI) "\r\nOPES-Via: y:2, " BY(S_URI)
		   "\r\nOPES-Bypass: " T_URI "\r\n\r\n");
	assert_int_equal(world_count(STATS_trace_restored) - before, 1);
}

static void test_service_answers(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("/s", "OPES-System: x:1\r\n"));
	world_am_start(0, 2, -1, true);
	world_data(0, 2, "HTTP/1.1 403 No\r\nContent-Length: 0\r\nOPES-System: y:1\r\n\r\n");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_got(0, "HTTP/1.1 403 No\r\nContent-Length: 0\r\nOPES-System: " BY(S_URI) "\r\n\r\n");
}

static void test_failures(void **state)
{
	uint64_t before;

	world.service = SERVICE_REFUSE; /* no transaction at all */
	client(REQ("/s", ""));
	assert_got(1, REQ("/s", "OPES-System: " SYS ";failed=\"" S_URI "\"\r\n"));
	world.service = SERVICE_MANUAL; /* lost before it said anything */
	server(OK(""));
	world_failed(0, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_got(0, OK("OPES-System: " SYS ";failed=\"" S_URI "\"\r\n"));
	before = world_count(STATS_trace_added);
	client(REQ("/block", ""));
	assert_has(world_got(0), "\r\nOPES-System: " SYS ";answer=own\r\n");
	assert_int_equal(world_count(STATS_trace_added) - before, 1);
}

/* --- bypass ------------------------------------------------------------------------------------------------------ */

static void bypassed(const char *value, bool s, const char *why_t)
{
	char text[512], want[512];
	unsigned txns;

	for (unsigned k = 0; k < 2; k++) {
		const char *path = k ? "/t" : "/s", *uri = k ? T_URI : S_URI;

		world.txns = 0;
		txns = 0;
		snprintf(text, sizeof(text), REQ("%s", "OPES-Bypass: %s\r\n"), path, value);
		client(text);
		if (k == 0 && s) {
			assert_got(1, text); /* and it is forwarded as it came */
		} else {
			txns = 2;
			snprintf(want, sizeof(want), REQ("%s", "OPES-Bypass: %s\r\nOPES-System: " SYS ";service=\"%s\"%s\r\n"), path,
				 value, uri, k ? why_t : strstr(why_t, "malformed") ? why_t : "");
			assert_got(1, want);
		}
		server(OK(""));
		if (!txns) {
			assert_got(0, OK(""));
		} else {
			snprintf(want, sizeof(want), OK("OPES-System: " SYS ";service=\"%s\"%s\r\n"), uri,
				 k ? why_t : strstr(why_t, "malformed") ? why_t : "");
			assert_got(0, want);
		}
		assert_int_equal(world.txns, txns);
	}
}

static void test_bypass(void **state)
{
	static const char *const all[] = {"*", "http://unknown.example/", "HTTP://SYS.example/", " * ,http://unknown.example/",
					  S_URI ", http://unknown.example/", "urn:opes:service:x"};
	static const char *const malformed[] = {"", ",", "x", "*x", S_URI " " S_URI, S_URI ", ?", "\"" S_URI "\"", "<" S_URI ">"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		bypassed(all[i], true, ";not-bypassed=policy");
	bypassed(S_URI, true, "");
	bypassed(T_URI, false, ";not-bypassed=policy");
	bypassed(S_URI "," T_URI, true, ";not-bypassed=policy");
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		bypassed(malformed[i], false, ";not-bypassed=malformed");
}

static void test_bypass_counts(void **state)
{
	uint64_t asked = world_count(STATS_bypass_requests), followed = world_count(STATS_bypass_followed);
	uint64_t refused = world_count(STATS_bypass_refused), bad = world_count(STATS_bypass_malformed);

	bypassed("*", true, ";not-bypassed=policy");
	bypassed("?", false, ";not-bypassed=malformed");
	client(REQ("/pass", "OPES-Bypass: *\r\n"));
	assert_got(1, REQ("/pass", "OPES-Bypass: *\r\n"));
	assert_int_equal(world_count(STATS_bypass_requests) - asked, 5);
	assert_int_equal(world_count(STATS_bypass_followed) - followed, 2); /* request and response */
	assert_int_equal(world_count(STATS_bypass_refused) - refused, 6);
	assert_int_equal(world_count(STATS_bypass_malformed) - bad, 2);
}

/* Requests in a row: each response goes by its own request. Several fields are one list. */
static void test_bypass_pipelined(void **state)
{
	client(REQ("/s/1", "OPES-Bypass: *\r\n") REQ("/s/2", "") REQ("/s/3", "OPES-Bypass: " T_URI "\r\nOPES-Bypass: " S_URI "\r\n"));
	assert_got(1, REQ("/s/1", "OPES-Bypass: *\r\n") REQ("/s/2", "OPES-System: " BY(S_URI) "\r\n")
		   REQ("/s/3", "OPES-Bypass: " T_URI "\r\nOPES-Bypass: " S_URI "\r\n"));
	server(OK("") OK("") OK(""));
	assert_got(0, OK("") OK("OPES-System: " BY(S_URI) "\r\n") OK(""));
}

/* The service that the rule names may be bypassed by some clients only; rules in force when the message begins decide. */
static void test_bypass_clients(void **state)
{
	client(REQ("/c", "OPES-Bypass: *\r\n"));
	assert_got(1, REQ("/c", "OPES-Bypass: *\r\nOPES-System: " BY(S_URI) ";not-bypassed=client\r\n"));
	world.rules = 1;
	server(OK("")); /* newer rules, which know this client */
	assert_got(0, OK(""));
	client(REQ("/c", "OPES-Bypass: " T_URI "\r\n"));
	assert_got(1, REQ("/c", "OPES-Bypass: " T_URI "\r\nOPES-System: " SYS "x;service=\"" S_URI "\"\r\n"));
	world.rules = 0;
	server(OK("")); /* what the request named is not known under these: taken for all */
	assert_got(0, OK("OPES-System: " BY(S_URI) ";not-bypassed=client\r\n"));
}

/* --- every message looked at -------------------------------------------------------------------------------------- */

#define BOTH(entry) "OPES-System: " entry "\r\nOPES-Via: " entry "\r\n"

static void test_all(void **state)
{
	client(REQ("/other", ""));
	assert_got(1, REQ("/other", BOTH(SYS)));
	server(OK("OPES-System: x:1\r\n"));
	assert_got(0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nOPES-System: x:1, " SYS "\r\nOPES-Via: " SYS "\r\n\r\nok");
	client(REQ("/s", "OPES-Bypass: *\r\n"));
	assert_got(1, REQ("/s", "OPES-Bypass: *\r\n" BOTH(SYS ";bypassed=\"" S_URI "\"")));
	server(OK(""));
	assert_got(0, OK(BOTH(SYS ";bypassed=\"" S_URI "\"")));
	client(REQ("/pass", ""));
	assert_got(1, REQ("/pass", ""));
	server("HTTP/1.1 100 Continue\r\n\r\n" OK(""));
	assert_got(0, "HTTP/1.1 100 Continue\r\n\r\n" OK(""));
	client(REQ("/observe", ""));
	assert_got(1, REQ("/observe", BOTH(SYS ";observed=\"" S_URI "\"")));
	assert_int_equal(world.txn[world.txns - 1].len, strlen(REQ("/observe", ""))); /* it sees what came */
	server(OK(""));
	assert_got(0, OK(BOTH(SYS ";observed=\"" S_URI "\"")));
	client("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
	assert_got(1, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" BOTH(SYS) "\r\n");
	server("HTTP/1.1 200 OK\r\n\r\n\x16");
	assert_got(0, "HTTP/1.1 200 OK\r\n\r\n\x16"); /* what makes a tunnel is between the ends */
}

static void test_too_long(void **state)
{
	static char long_one[4096];
	uint64_t before = world_count(STATS_trace_refused);
	int n = snprintf(long_one, sizeof(long_one), "GET /s HTTP/1.1\r\nHost: a\r\nOPES-System: ");

	for (unsigned i = 0; i < 180; i++)
		n += snprintf(long_one + n, sizeof(long_one) - (size_t)n, "x:%05u, ", i);
	snprintf(long_one + n, sizeof(long_one) - (size_t)n, "\r\n\r\n");
	client(long_one);
	assert_got(1, "");
	assert_has(world_got(0), "HTTP/1.1 431 ");
	assert_int_equal(world_count(STATS_trace_refused) - before, 1);
	client(REQ("/s", ""));
	assert_got(1, REQ("/s", "OPES-System: " BY(S_URI) "\r\n")); /* the connection goes on */
	server(OK(""));
	world_got(0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest adapted[] = {
		CASE(test_adapted), CASE(test_split_anyhow), CASE(test_service_cannot_forge), CASE(test_service_answers),
		CASE(test_failures), CASE(test_bypass), CASE(test_bypass_counts), CASE(test_bypass_pipelined),
		CASE(test_bypass_clients),
	};
	const struct CMUnitTest all[] = {CASE(test_all)}, refusing[] = {CASE(test_too_long)};

	return world_run(adapted, 1023, 4095, adapted_rules, newer_rules) + world_run(all, 1023, 4095, all_rules, NULL) +
	       world_run(refusing, 1023, 4095, refusing_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
