/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP profile of RFC 4236 section 3: the feature structure read and written, parts and order. */
#include <errno.h>
#include "ocp/ocp_codec_bench.h"
#include "ocp/ocp_profile.h"

#define REQ "http://www.iana.org/assignments/opes/ocp/http/request"
#define RESP "http://www.iana.org/assignments/opes/ocp/http/response"
#define P(part) ((uint32_t)OCP_HAS(OCP_PART_##part))

static int read_more(struct ocp_profile *p, const char *uri, const char *more)
{
	struct ocp_uri u = {ocp_str(uri), ocp_str(more)};

	return ocp_profile_read(p, &u);
}

static void test_read(void **state)
{
	struct ocp_profile p;

	assert_int_equal(read_more(&p, REQ, ""), 0);
	assert_int_equal(p.feature, OCP_FEATURE_HTTP_REQUEST);
	assert_int_equal(p.aux_parts, 0);
	assert_int_equal(p.pause_at_body, -1);
	assert_int_equal(p.stop_receiving_body, -1);
	assert_int_equal(p.preservation_interest_body, -1);
	assert_int_equal(p.content_encodings.len, 0);
	/* figure 9 */
	assert_int_equal(read_more(&p, RESP, "\r\nAux-Parts: (request-header,request-body)\r\n"), 0);
	assert_int_equal(p.feature, OCP_FEATURE_HTTP_RESPONSE);
	assert_int_equal(p.aux_parts, P(REQUEST_HEADER) | P(REQUEST_BODY));
	assert_int_equal(read_more(&p, RESP,
				   "\r\nAux-Parts: (request-header)\r\nPause-At-Body: 30\r\n"
				   "Preservation-Interest-Body: 0\r\nContent-Encodings: (gzip)\r\n"), 0);
	assert_int_equal(p.aux_parts, P(REQUEST_HEADER));
	assert_int_equal(p.pause_at_body, 30);
	assert_int_equal(p.stop_receiving_body, -1);
	assert_int_equal(p.preservation_interest_body, 0);
	assert_true(ocp_str_eq(p.content_encodings, OCP_STR("(gzip)")));
	/* figure 6; unknown members, anonymous ones and an empty list */
	assert_int_equal(read_more(&p, RESP,
				   " 7 {x}\r\nStop-Receiving-Body: \"10:2147483647\"\r\nX: {y (z)}\r\n"
				   "Aux-Parts: ()\r\npause-at-body: x\r\n"), 0);
	assert_int_equal(p.stop_receiving_body, 2147483647);
	assert_int_equal(p.aux_parts, 0);
	assert_int_equal(p.pause_at_body, -1);
	/* parts that are not auxiliary are told, to be ignored or refused */
	assert_int_equal(read_more(&p, RESP, "\r\nAux-Parts: (response-body,request-trailer)\r\n"), 0);
	assert_int_equal(p.aux_parts, P(RESPONSE_BODY) | P(REQUEST_TRAILER));
	assert_int_equal(p.aux_parts & ocp_profile_aux(p.feature), P(REQUEST_TRAILER));
}

static void test_read_refuses(void **state)
{
	static const char *const bad[] = {
		"\r\nAux-Parts: request-header\r\n", "\r\nAux-Parts: (body)\r\n",
		"\r\nAux-Parts: ((request-header))\r\n", "\r\nAux-Parts: (request-header,{x})\r\n",
		"\r\nPause-At-Body: 2147483648\r\n", "\r\nPause-At-Body: -1\r\n",
		"\r\nPause-At-Body: (1)\r\n", "\r\nPause-At-Body: 01\r\n",
		"\r\nStop-Receiving-Body: {1}\r\n", "\r\nPreservation-Interest-Body: all\r\n",
		"\r\nContent-Encodings: gzip\r\n", "\r\nContent-Encodings: ({gzip})\r\n",
	};
	struct ocp_profile p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_more(&p, RESP, bad[i]), -EINVAL);
	assert_int_equal(read_more(&p, "urn:opes:feature:copied", ""), -ENOENT);
	assert_int_equal(p.feature, OCP_FEATURE_MAX);
	assert_int_equal(read_more(&p, "http://www.iana.org/assignments/opes/ocp/MIME", ""), -ENOENT);
}

/* What is written passes the decoder inside NO and NR and is read as what was meant. */
static void round_trip(const struct ocp_profile *p)
{
	char buf[OCP_PROFILE_ROOM + 64], wire[1024], list[600];
	struct ocp_msg no = {.type = OCP_MSG_NO, .has = OCP_HAS(OCP_P_FEATURES)};
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	size_t len = 0, n;
	struct ocp_profile q;
	struct ocp_event ev;
	struct ocp_uri u;
	uint32_t at = 0;

	assert_int_equal(ocp_profile_write(p, buf, sizeof(buf), &u), 0);
	for (size_t cap = 0; cap < u.more.len; cap++) {
		char small[512];
		struct ocp_uri v;

		assert_int_equal(ocp_profile_write(p, small, cap, &v), -ENOSPC);
	}
	assert_int_equal(ocp_list_add(list, sizeof(list), &len, &u), 0);
	no.features = ocp_list_of((struct ocp_str){list, (uint32_t)len});
	assert_int_equal(no.features.count, 1);
	assert_int_equal(ocp_encode(&no, 0, wire, sizeof(wire), &n), 0);
	assert_int_equal(ocp_decoder_feed(d, wire, n, &ev), n);
	assert_int_equal(ev.type, OCP_EVENT_MESSAGE);
	assert_true(ocp_list_next(&ev.msg->features, &at, &u));
	assert_int_equal(ocp_profile_read(&q, &u), 0);
	assert_int_equal(q.feature, p->feature);
	assert_int_equal(q.aux_parts, p->aux_parts);
	assert_int_equal(q.pause_at_body, p->pause_at_body);
	assert_int_equal(q.stop_receiving_body, p->stop_receiving_body);
	assert_int_equal(q.preservation_interest_body, p->preservation_interest_body);
	assert_true(ocp_str_eq(q.content_encodings, p->content_encodings));
	ocp_decoder_destroy(d);
}

static void test_write(void **state)
{
	struct ocp_profile p = OCP_PROFILE_INIT;
	char buf[OCP_PROFILE_ROOM];
	struct ocp_uri u;

	assert_int_equal(ocp_profile_write(&p, buf, sizeof(buf), &u), -EINVAL);
	p.feature = OCP_FEATURE_COPIED;
	assert_int_equal(ocp_profile_write(&p, buf, sizeof(buf), &u), -EINVAL);
	p.feature = OCP_FEATURE_HTTP_REQUEST;
	round_trip(&p);
	assert_int_equal(ocp_profile_write(&p, buf, 0, &u), 0);
	assert_int_equal(u.more.len, 0);
	p.feature = OCP_FEATURE_HTTP_RESPONSE;
	p.aux_parts = P(REQUEST_HEADER) | P(REQUEST_BODY) | P(REQUEST_TRAILER);
	round_trip(&p);
	p.pause_at_body = 0;
	p.stop_receiving_body = 2147483647;
	p.preservation_interest_body = 77;
	round_trip(&p);
	p.aux_parts |= P(RESPONSE_HEADER) | P(RESPONSE_BODY) | P(RESPONSE_TRAILER);
	assert_int_equal(ocp_profile_write(&p, buf, sizeof(buf), &u), 0); /* the most there can be */
	p.content_encodings = OCP_STR("(gzip,\"7:deflate\")");
	round_trip(&p);
	p.pause_at_body = INT64_C(2147483648);
	assert_int_equal(ocp_profile_write(&p, buf, sizeof(buf), &u), -EINVAL);
	p.pause_at_body = -1;
	p.aux_parts = 1; /* OCP_PART_NONE */
	assert_int_equal(ocp_profile_write(&p, buf, sizeof(buf), &u), -EINVAL);
}

/* The parts that may follow, in an order of their names' first letters: qh qb qt sh sb st. */
static void expect_parts(const struct ocp_profile *p, bool adapted, enum ocp_part last, const char *want)
{
	static const char *const names[] = {"", "qh ", "qb ", "qt ", "sh ", "sb ", "st "};
	char got[64] = "";

	for (int part = OCP_PART_NONE; part <= OCP_PART_MAX; part++)
		if (ocp_profile_part_ok(p, adapted, last, (enum ocp_part)part))
			strcat(got, part < OCP_PART_MAX ? names[part] : "?");
	assert_string_equal(got, want);
}

static void test_parts(void **state)
{
	struct ocp_profile req = OCP_PROFILE_INIT, resp = OCP_PROFILE_INIT, none = OCP_PROFILE_INIT;

	req.feature = OCP_FEATURE_HTTP_REQUEST;
	resp.feature = OCP_FEATURE_HTTP_RESPONSE;
	expect_parts(&req, false, OCP_PART_NONE, "qh qb qt ");
	expect_parts(&req, false, OCP_PART_REQUEST_BODY, "qb qt ");
	expect_parts(&req, false, OCP_PART_REQUEST_TRAILER, "qt ");
	expect_parts(&req, true, OCP_PART_NONE, "qh qb qt sh sb st ");
	expect_parts(&req, true, OCP_PART_REQUEST_HEADER, "qh qb qt ");
	expect_parts(&req, true, OCP_PART_RESPONSE_HEADER, "sh sb st ");
	expect_parts(&resp, false, OCP_PART_NONE, "sh sb st ");
	expect_parts(&resp, true, OCP_PART_NONE, "sh sb st ");
	expect_parts(&resp, true, OCP_PART_RESPONSE_BODY, "sb st ");
	resp.aux_parts = P(REQUEST_HEADER) | P(RESPONSE_BODY);
	expect_parts(&resp, false, OCP_PART_NONE, "qh sh sb st ");
	expect_parts(&resp, false, OCP_PART_REQUEST_HEADER, "qh sh sb st ");
	expect_parts(&resp, false, OCP_PART_RESPONSE_HEADER, "sh sb st ");
	expect_parts(&resp, true, OCP_PART_NONE, "sh sb st ");
	expect_parts(&none, false, OCP_PART_NONE, "");
	expect_parts(&none, true, OCP_PART_NONE, "");
	assert_int_equal(ocp_profile_body(OCP_FEATURE_HTTP_REQUEST), OCP_PART_REQUEST_BODY);
	assert_int_equal(ocp_profile_body(OCP_FEATURE_HTTP_RESPONSE), OCP_PART_RESPONSE_BODY);
	assert_int_equal(ocp_profile_body(OCP_FEATURE_MAX), OCP_PART_NONE);
	assert_int_equal(ocp_profile_aux(OCP_FEATURE_HTTP_REQUEST), 0);
	assert_int_equal(ocp_part_find(OCP_STR("request-header")), OCP_PART_REQUEST_HEADER);
	assert_int_equal(ocp_part_find(OCP_STR("")), OCP_PART_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_refuses),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
