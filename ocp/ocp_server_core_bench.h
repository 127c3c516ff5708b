/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of the callout server agent in the core dialect: beginnings and expectations. */
#ifndef OCP_SERVER_CORE_BENCH_H
#define OCP_SERVER_CORE_BENCH_H

#include "ocp/ocp_test_bench.h"

#define REQUEST "{\"53:http://www.iana.org/assignments/opes/ocp/http/request\"}"
#define RESPONSE "{\"54:http://www.iana.org/assignments/opes/ocp/http/response\"}"
#define SERVICES "({\"3:u:s\"})"

__attribute__((unused)) static void start_with(struct bench *b, const struct ocp_server_config *cfg)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(ocp_server_create(&b->s, cfg, &bench_s_ops, b, 0), 0);
}

__attribute__((unused)) static void start(struct bench *b)
{
	const struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;

	start_with(b, &cfg);
}

__attribute__((unused)) static void forget_all(struct bench *b)
{
	text_clear(&b->log);
	text_clear(&b->out);
}

__attribute__((unused, format(printf, 2, 3))) static void want_logf(struct bench *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	want_log(b, text);
}

/* Group 1, no profile. */
__attribute__((unused)) static void connect_plain(struct bench *b)
{
	start(b);
	assert_int_equal(bench_in(b, "CS;\nNO ();\nSGC 1 " SERVICES ";\n"), 0);
	want_log(b, "connection_start [] 0\n");
	want_out(b, "CS;\nNR;\n");
}

/* Group 1 with the profile. */
__attribute__((unused)) static void connect_profile(struct bench *b, const char *profile)
{
	char text[256];

	start(b);
	snprintf(text, sizeof(text), "CS;\nSGC 1 " SERVICES ";\nNO (%s)\nSG: 1\n;\n", profile);
	assert_int_equal(bench_in(b, text), 0);
	snprintf(text, sizeof(text), "CS;\nNR %s\nSG: 1\n;\n", profile);
	want_out(b, text);
	text_clear(&b->log);
}

/* Transaction 7, its original open; no profile. */
__attribute__((unused)) static void open_plain(struct bench *b)
{
	connect_plain(b);
	assert_int_equal(bench_in(b, "TS 7 1;\nAMS 7;\n"), 0);
	want_log(b, "xaction_start 7 [u:s|]\nam_start 1 [] kind=3\n");
	want_out(b, "");
}

/* The same with an adapted message. */
__attribute__((unused)) static void open_adapted(struct bench *b)
{
	uint32_t am;

	open_plain(b);
	assert_int_equal(ocp_server_am_start(b->s, 7, ocp_str(NULL), NULL, &am), 0);
	assert_int_equal(am, 2);
	want_out(b, "AMS 7;\n");
}

__attribute__((unused)) static void open_profile(struct bench *b, const char *profile)
{
	connect_profile(b, profile);
	assert_int_equal(bench_in(b, "TS 7 1;\nAMS 7;\n"), 0);
	text_clear(&b->log);
	want_out(b, "");
}

/* `NAME [XID] {400 "reason"};` with the fault's text as the reason. */
static inline void failure_text(char *to, size_t cap, const char *name, enum ocp_fault f)
{
	const char *text = ocp_fault_text(f);

	snprintf(to, cap, "%s {400 \"%zu:%s\"};\n", name, strlen(text), text);
}

/* The transaction was ended because of f, and its owner told. */
__attribute__((unused)) static void want_violation(struct bench *b, const char *xid, const char *msg, enum ocp_fault f)
{
	char out[1024], log[256], name[32];

	snprintf(name, sizeof(name), "TE %s", xid);
	failure_text(out, sizeof(out), name, f);
	want_out(b, out);
	snprintf(log, sizeof(log), "fault %d %s\nxaction_end 2 fault=%d\n", f, msg, f);
	want_log(b, log);
}

/* A TE {400} for an xid without a transaction. */
__attribute__((unused)) static void want_refusal(struct bench *b, const char *xid, const char *msg, enum ocp_fault f)
{
	char out[1024], log[256], name[32];

	snprintf(name, sizeof(name), "TE %s", xid);
	failure_text(out, sizeof(out), name, f);
	want_out(b, out);
	snprintf(log, sizeof(log), "fault %d %s\n", f, msg);
	want_log(b, log);
}

/* The connection was ended because of f. */
__attribute__((unused)) static void want_broken(struct bench *b, const char *before, const char *msg, enum ocp_fault f)
{
	char out[1024], log[256];
	size_t n = strlen(before);

	memcpy(out, before, n);
	failure_text(out + n, sizeof(out) - n, "CE", f);
	want_out(b, out);
	snprintf(log, sizeof(log), "fault %d %s\nclosed %d\n", f, msg, ocp_server_over(b->s));
	want_log(b, log);
	assert_int_equal(bench_in(b, "PQ;\n"), -ENOTCONN);
	want_out(b, "");
}
#endif
