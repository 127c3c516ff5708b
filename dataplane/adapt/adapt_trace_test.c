/* SPDX-License-Identifier: BSD-3-Clause */
/* Trace fields of a head: appended in order, one field, equal in both, bounded, out of a service's reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "adapt/adapt_trace.h"

#define SYS "http://s.example/"
#define OURS SYS ";processor=\"http://s.example/1\";service=\"urn:x:a\""
#define RESP "HTTP/1.1 200 OK\r\n"
#define REQ "GET / HTTP/1.1\r\nHost: a\r\n"

static struct http1_head came, now;
static struct policy_opes opes;
static struct adapt_trace trace;
static char *text, out[4 * HTTP1_HEAD_MAX];

static int begin(void **state)
{
	opes = (struct policy_opes){.system_uri = SYS, .processor_uri = "http://s.example/1", .trace_limit = 2048,
				    .service_entries = true};
	text = malloc(ADAPT_TRACE_TEXT_MAX); /* exactly: the sanitizer sees what goes beyond */
	return 0;
}

static int done(void **state)
{
	free(text);
	return 0;
}

/* What becomes of the head a where a service has made b of it (NULL: nothing). */
static const char *made(const char *a, const char *b, enum adapt_trace_why why)
{
	struct adapt_trace_entry e = {ADAPT_TRACE_SERVICE, why, "urn:x:a"};
	enum http1_kind kind = strncmp(a ? a : b, "HTTP", 4) == 0 ? HTTP1_RESPONSE : HTTP1_REQUEST;
	const struct http1_head *h = b ? &now : &came;
	int n;

	if (a)
		assert_int_equal(http1_parse_head(&came, kind, a, (uint32_t)strlen(a)), strlen(a));
	if (b)
		assert_int_equal(http1_parse_head(&now, kind, b, (uint32_t)strlen(b)), strlen(b));
	adapt_trace_edit(&trace, &opes, h, a ? &came : NULL, &e, text);
	n = http1_write_head_edited(h, HTTP1_FRAME_KEEP, 0, false, trace.edit, trace.edits, out, sizeof(out) - 1);
	assert_true(n > 0);
	out[n] = 0;
	return out;
}
#define assert_made(a, b, want) assert_string_equal(made(a, b, ADAPT_TRACE_NOT_ASKED), want)

static void entries(void **state)
{
	char entry[ADAPT_TRACE_ENTRY_MAX + 1];
	struct adapt_trace_entry e = {ADAPT_TRACE_SERVICE, ADAPT_TRACE_POLICY, "urn:x:a"};

	memset(entry, 0, sizeof(entry));
	assert_int_equal(adapt_trace_entry(&opes, &e, entry), strlen(OURS ";not-bypassed=policy"));
	assert_string_equal(entry, OURS ";not-bypassed=policy");
	e = (struct adapt_trace_entry){ADAPT_TRACE_FAILED, ADAPT_TRACE_NOT_ASKED, "urn:x:a"};
	*opes.processor_uri = 0;
	memset(entry, 0, sizeof(entry));
	adapt_trace_entry(&opes, &e, entry);
	assert_string_equal(entry, SYS ";failed=\"urn:x:a\"");
	e = (struct adapt_trace_entry){ADAPT_TRACE_ANSWER, ADAPT_TRACE_NOT_ASKED, NULL};
	memset(entry, 0, sizeof(entry));
	adapt_trace_entry(&opes, &e, entry);
	assert_string_equal(entry, SYS ";answer=own");
	e = (struct adapt_trace_entry){ADAPT_TRACE_NONE, ADAPT_TRACE_NOT_ASKED, NULL};
	memset(entry, 0, sizeof(entry));
	adapt_trace_entry(&opes, &e, entry);
	assert_string_equal(entry, SYS);
}

static void appended(void **state)
{
	assert_made(RESP "A: b\r\n\r\n", NULL, RESP "A: b\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(RESP "opes-system:x:1 \r\nA: b\r\n\r\n", NULL, RESP "OPES-System: x:1, " OURS "\r\nA: b\r\n\r\n");
	/* several fields become one, where the first was */
	assert_made(RESP "OPES-System: x:1,x:2\r\nA: b\r\nOPES-System: x:3;p=\"a,b\" , ,x:4\r\nOPES-SYSTEM:\r\n\r\n", NULL,
		    RESP "OPES-System: x:1, x:2, x:3;p=\"a,b\", x:4, " OURS "\r\nA: b\r\n\r\n");
	assert_true(trace.traced);
	assert_false(trace.cut || trace.restored);
	/* a string that does not end would take ours in */
	assert_made(RESP "OPES-System: x:1, x:2;p=\"a\\\", x:3\r\n\r\n", NULL, RESP "OPES-System: x:1, " OURS "\r\n\r\n");
	assert_true(trace.cut);
}

static void via(void **state)
{
	assert_made(RESP "OPES-Via: x:1\r\n\r\n", NULL, RESP "OPES-Via: x:1, " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(RESP "OPES-Via:\r\n\r\n", NULL, RESP "OPES-Via: " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	opes.via = POLICY_VIA_ALWAYS;
	assert_made(RESP "\r\n", NULL, RESP "OPES-System: " OURS "\r\nOPES-Via: " OURS "\r\n\r\n");
}

static void services_append(void **state)
{
	assert_made(RESP "OPES-Via: x:1\r\n\r\n", RESP "OPES-Via: x:1,y:2\r\n\r\n",
		    RESP "OPES-Via: x:1, y:2, " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(RESP "\r\n", RESP "OPES-Via: y:2\r\n\r\n",
		    RESP "OPES-Via: y:2, " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	assert_false(trace.restored);
	opes.service_entries = false;
	assert_made(RESP "OPES-Via: x:1\r\n\r\n", RESP "OPES-Via: x:1, y:2\r\n\r\n",
		    RESP "OPES-Via: x:1, " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(RESP "\r\n", RESP "OPES-Via: y:2\r\n\r\n", RESP "OPES-System: " OURS "\r\n\r\n");
}

static void services_cannot_forge(void **state)
{
	static const char *const forged[] = {
		RESP "\r\n",			   RESP "OPES-System: y:1\r\n\r\n", RESP "OPES-System: x:2, x:1\r\n\r\n",
		RESP "OPES-System: x:1\r\n\r\n",   RESP "OPES-System: x:1, x:2, y:9\r\n\r\n",
		RESP "OPES-System: x:1, X:2\r\n\r\n"};

	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		assert_made(RESP "OPES-System: x:1, x:2\r\n\r\n", forged[i], RESP "OPES-System: x:1, x:2, " OURS "\r\n\r\n");
		assert_true(trace.restored);
	}
	assert_made(RESP "OPES-System: x:1,x:2\r\n\r\n", RESP "OPES-System: x:1 , x:2\r\n\r\n",
		    RESP "OPES-System: x:1, x:2, " OURS "\r\n\r\n");
	assert_false(trace.restored); /* other white space, the same entries */
	assert_made(RESP "OPES-Via: x:1, x:2\r\n\r\n", RESP "OPES-Via: x:1\r\n\r\n",
		    RESP "OPES-Via: x:1, x:2, " OURS "\r\nOPES-System: " OURS "\r\n\r\n");
	assert_true(trace.restored);
	/* an answer of a service is no version of the request: nothing came with it */
	assert_made(NULL, RESP "OPES-System: y:1\r\nOPES-Via: y:2\r\n\r\n",
		    RESP "OPES-System: " OURS "\r\nOPES-Via: y:2, " OURS "\r\n\r\n");
	assert_true(trace.restored);
}

static void bypass_is_the_clients(void **state)
{
	assert_made(REQ "OPES-Bypass: x:1,x:2\r\n\r\n", REQ "\r\n",
		    REQ "OPES-Bypass: x:1, x:2\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(REQ "OPES-Bypass: x:1\r\n\r\n", REQ "OPES-Bypass: *\r\n\r\n",
		    REQ "OPES-Bypass: x:1\r\nOPES-System: " OURS "\r\n\r\n");
	assert_made(REQ "\r\n", REQ "OPES-Bypass: *\r\n\r\n", REQ "OPES-System: " OURS "\r\n\r\n");
	assert_true(trace.restored);
	assert_made(REQ "OPES-Bypass: x:1,x:2\r\n\r\n", REQ "OPES-Bypass: x:1,x:2\r\n\r\n",
		    REQ "OPES-Bypass: x:1,x:2\r\nOPES-System: " OURS "\r\n\r\n");
	assert_false(trace.restored);
	opes.trace = POLICY_TRACE_OFF; /* without traces, too */
	assert_made(REQ "OPES-Bypass: *\r\n\r\n", REQ "\r\n", REQ "OPES-Bypass: *\r\n\r\n");
	assert_made(REQ "OPES-Bypass: *\r\n\r\n", NULL, REQ "OPES-Bypass: *\r\n\r\n");
	assert_int_equal(trace.edits, 0);
}

static void says_why(void **state)
{
	assert_string_equal(made(REQ "OPES-Bypass: *\r\n\r\n", NULL, ADAPT_TRACE_CLIENT),
			    REQ "OPES-Bypass: *\r\nOPES-System: " OURS ";not-bypassed=client\r\n\r\n");
	assert_string_equal(made(REQ "OPES-Bypass: ?\r\n\r\n", NULL, ADAPT_TRACE_MALFORMED),
			    REQ "OPES-Bypass: ?\r\nOPES-System: " OURS ";not-bypassed=malformed\r\n\r\n");
}

/* Our entry is always in, whole; what is left out are the oldest ones, whole. */
static void bounded(void **state)
{
	static char head[40000];
	size_t fits = 2048 - strlen(OURS);

	for (unsigned n = 0; n < 600; n++) {
		int len = snprintf(head, sizeof(head), RESP "OPES-Via: ");
		unsigned kept = 0;
		const char *v, *end;

		for (unsigned i = 0; i < n; i++)
			len += snprintf(head + len, sizeof(head) - (size_t)len, "x:%05u,", i);
		snprintf(head + len, sizeof(head) - (size_t)len, "\r\n\r\n");
		made(head, NULL, ADAPT_TRACE_NOT_ASKED);
		v = strstr(out, "OPES-Via: ") + 10;
		end = strstr(v, "\r\n");
		assert_true(end - v <= 2048);
		assert_int_equal(trace.cut, n * 9 > fits);
		kept = (unsigned)((size_t)(end - v) - strlen(OURS)) / 9;
		assert_int_equal(kept, n * 9 > fits ? fits / 9 : n);
		for (unsigned i = 0; i < kept; i++) {
			char want[16];

			snprintf(want, sizeof(want), "x:%05u, ", n - kept + i);
			assert_memory_equal(v + 9 * i, want, 9);
		}
		assert_memory_equal(v + 9 * kept, OURS, strlen(OURS));
		assert_int_equal(adapt_trace_too_long(&opes, &came, (uint32_t)strlen(OURS)), n * 9 > fits);
	}
}

/* Any text in these fields: nothing is read or written beyond, the head stays one, ours stands last. */
static void any_text(void **state)
{
	static const char some[] = "a:;\"\\,, \tx=*/";
	static char head[2][600];
	uint32_t seed = 7;

	for (unsigned round = 0; round < 20000; round++) {
		struct adapt_trace_entry e = {ADAPT_TRACE_SERVICE, ADAPT_TRACE_NOT_ASKED, "urn:x:a"};
		int n;

		for (unsigned k = 0; k < 2; k++) {
			size_t len = (size_t)sprintf(head[k], REQ);

			for (unsigned f = 0; f < 4; f++) {
				static const char *const names[] = {"OPES-System:", "OPES-Via:", "OPES-Bypass:", "opes-via:"};

				seed = seed * 1103515245u + 12345u;
				if (seed >> 30 == 0)
					continue;
				len += (size_t)sprintf(head[k] + len, "%s", names[f]);
				for (unsigned i = seed >> 16 & 31; i; i--) {
					seed = seed * 1103515245u + 12345u;
					head[k][len++] = some[(seed >> 16) % (sizeof(some) - 1)];
				}
				len += (size_t)sprintf(head[k] + len, "\r\n");
			}
			len += (size_t)sprintf(head[k] + len, "\r\n");
			assert_int_equal(http1_parse_head(k ? &now : &came, HTTP1_REQUEST, head[k], (uint32_t)len), len);
		}
		adapt_trace_edit(&trace, &opes, &now, &came, &e, text);
		n = http1_write_head_edited(&now, HTTP1_FRAME_KEEP, 0, false, trace.edit, trace.edits, out, sizeof(out));
		assert_true(n > 0);
		assert_int_equal(http1_parse_head(&now, HTTP1_REQUEST, out, (uint32_t)n), n);
		const struct http1_field *s = http1_find(&now, "OPES-System");

		assert_non_null(s);
		assert_null(http1_find_next(&now, "OPES-System", s));
		assert_memory_equal(now.buf + s->value.off + s->value.len - strlen(OURS), OURS, strlen(OURS));
		s = http1_find(&now, "OPES-Via");
		assert_true(!s || !http1_find_next(&now, "OPES-Via", s));
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(entries), CASE(appended), CASE(via), CASE(services_append), CASE(services_cannot_forge),
		CASE(bypass_is_the_clients), CASE(says_why), CASE(bounded), CASE(any_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
