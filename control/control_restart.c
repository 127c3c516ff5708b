/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control_log.h"

#define STATE_ENV "OPES_CONTROL_STATE"
#define RETRY_US 1000000u

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4u
#endif

static json_t *state_make(struct control *c)
{
	bool gone = !control_plane_alive(&c->plane);

	return json_pack("{s:o, s:o, s:s%, s:s, s:s, s:i, s:I, s:I}", "socket",
			 control_socket_save(c->socket), "events", control_events_save(&c->events),
			 "text", c->current.text, c->current.text_len, "path", c->path, "why",
			 gone ? "not running" : c->plane.why, "avoid", (int)c->plane.avoid,
			 "not_before_us", (json_int_t)(gone ? 0 : control_now_us() + RETRY_US),
			 "started_us", (json_int_t)c->started_us);
}

/*
 * Every other descriptor closes with the execv: those DPDK holds carry the locks that
 * would keep a new dataplane from starting.
 */
int control_restart(struct control *c)
{
	char fd_text[16];
	json_t *state;
	int fd = memfd_create("opes-control", 0);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC))
		return -errno;
	state = state_make(c);
	if (!state || json_dumpfd(state, fd, JSON_COMPACT)) {
		json_decref(state);
		close(fd);
		return -ENOMEM;
	}
	json_decref(state);
	fcntl(fd, F_SETFD, 0);
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	setenv(STATE_ENV, fd_text, 1);
	execv("/proc/self/exe", c->argv);
	return -errno;
}

json_t *control_restart_state(void)
{
	const char *text = getenv(STATE_ENV);
	json_error_t e;
	json_t *state;
	int fd;

	if (!text)
		return NULL;
	fd = atoi(text);
	unsetenv(STATE_ENV);
	if (fd < 3 || lseek(fd, 0, SEEK_SET) < 0)
		return NULL;
	state = json_loadfd(fd, 0, &e);
	close(fd);
	return state;
}
