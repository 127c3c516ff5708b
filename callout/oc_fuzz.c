/* SPDX-License-Identifier: BSD-3-Clause */
/* Any octets as what a processor sends, to a loop with every service. The first octet is the size of the pieces. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "callout/opes_callout.h"
#include "callout/services/services.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct oc_loop *fuzz_loop(void)
{
	static const char *const services[] = {
		"echo:e", "as-is:a", "as-is:al,leave=yes", "replace:r,replace=ab=c,replace=abc=,headers=yes",
		"block:b,pattern=bad,hold=8", "block:ba,pattern=bad,hold=all", "header:h,remove=A,set=B: c",
		"header:hl,add=D: e,leave=yes", "log:l"};
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oc_loop *loop;
	size_t piece = size && data[0] ? data[0] : size;
	char junk[65536];
	struct oc_stats st;
	int fd[2];

	if (!loop)
		loop = fuzz_loop();
	if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		return 0;
	oc_loop_adopt(loop, fd[1]);
	for (size_t at = 1; at < size; at += piece) {
		if (send(fd[0], data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		oc_loop_step(loop, 0);
		while (recv(fd[0], junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	close(fd[0]);
	for (int i = 0; i < 4; i++)
		oc_loop_step(loop, 0);
	oc_loop_stats(loop, &st);
	assert(st.connections_open == 0);
	return 0;
}
