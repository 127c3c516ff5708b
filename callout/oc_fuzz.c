/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A loop with every service, against what a processor may send. The first octet says what the rest is: 0 to 253 the size of the
 * pieces in which it is sent as it is; 254 and 255 choices of a script (ocp_script.h) in the draft's dialect and in that of
 * RFC 4037.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "callout/opes_callout.h"
#include "callout/services/services.h"
#include "ocp/ocp_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct oc_loop *fuzz_loop(void)
{
	static const char *const services[] = {
		"echo:e", "as-is:a", "as-is:al,leave=yes,preservation-interest-body=8",
		"replace:r,replace=ab=c,replace=abc=,headers=yes",
		"block:b,pattern=bad,hold=8", "block:ba,pattern=bad,hold=all", "header:h,remove=A,set=B: c",
		"header:hl,add=D: e,leave=yes",
		"log:l,aux-parts=request-header,pause-at-body=3", "answer:an,stop-receiving-body=0"};
	struct oc_loop *loop = oc_loop_new(NULL);
	struct oc_error err;

	service_log_output.to = fopen("/dev/null", "w");
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		int rc = oc_loop_service_text(loop, services_all, services[i], &err);

		assert(rc == 0);
		(void)rc;
	}
	return loop;
}

struct fuzz_conn {
	struct oc_loop *loop;
	int fd;
	bool over;
};

/* Reads what has been said, or leaves it there for a while, as a slow processor does. */
static void fuzz_say(void *ctx, const char *text, size_t len)
{
	struct fuzz_conn *c = ctx;
	char junk[65536];

	if (c->over)
		return;
	c->over = send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0;
	oc_loop_step(c->loop, 0);
	while (len % 3 && recv(c->fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

static void fuzz_script(struct fuzz_conn *c, const uint8_t *data, size_t size, bool core)
{
	static const char *const services[] = {"e", "a", "al", "r", "b", "ba", "h", "hl", "l", "an", "nobody"};
	struct script s = {.at = data, .end = data + size, .next_xid = 1, .next_sg = 1, .services = services, .nservices = 11,
			   .say = fuzz_say, .ctx = c};
	const char *service = services[script_next(&s, 10)];

	if (core)
		SCRIPT_SAY(&s, "CS;\r\nNO ();\r\nSGC 0 ({%s});\r\n", service);
	else
		SCRIPT_SAY(&s, "connection-start;\r\nconnection-service {%s};\r\n", service);
	while (s.at < s.end && !c->over) {
		if (core)
			script_core(&s);
		else
			script_draft(&s);
	}
}

static void fuzz_stream(struct fuzz_conn *c, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size && !c->over; at += piece)
		fuzz_say(c, (const char *)data + at, size - at < piece ? size - at : piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oc_loop *loop;
	struct fuzz_conn c;
	struct oc_stats st;
	int fd[2];

	if (!loop)
		loop = fuzz_loop();
	if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		return 0;
	oc_loop_adopt(loop, fd[1]);
	c = (struct fuzz_conn){.loop = loop, .fd = fd[0]};
	if (data[0] >= 254)
		fuzz_script(&c, data + 1, size - 1, data[0] == 255);
	else
		fuzz_stream(&c, data + 1, size - 1, data[0] ? data[0] : size);
	close(fd[0]);
	for (int i = 0; i < 4; i++)
		oc_loop_step(loop, 0);
	oc_loop_stats(loop, &st);
	assert(st.connections_open == 0);
	return 0;
}
