/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opes-control: reads the configuration, gives the dataplane its rules, serves
 * the control socket, writes events. Start, loop and end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command/command.h"
#include "control.h"
#include "control_log.h"
#include "policy/policy.h"

#define TICK_MS 100    /* nothing under way */
#define TICK_BUSY_MS 5 /* a generation is published, or a client waits for events */
#define BUSY_SAMPLE_US 1000000u

struct options {
	const char *config;
	struct control_log_options log;
};

static void usage(FILE *out)
{
	fprintf(out, "usage: opes-control [-c FILE] [-v] [--foreground] [--log FILE] [--text]\n"
		     "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
		     "  -f, --foreground    stay in the foreground; messages to stderr, events to "
		     "stdout\n"
		     "  -l, --log FILE      write messages and events to FILE\n"
		     "  -t, --text          events as lines of text instead of JSON\n"
		     "  -v, --verbose       say more\n"
		     "  -V, --version       print the version\n");
}

/* 0: go on; else the exit code + 1. */
static int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"foreground", no_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},	  {"text", no_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'},	  {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},	  {NULL, 0, NULL, 0}};
	int ch;

	o->log.background = true;
	while ((ch = getopt_long(argc, argv, "c:fl:tvVh", longs, NULL)) != -1) {
		switch (ch) {
		case 'c':
			o->config = optarg;
			break;
		case 'f':
			o->log.background = false;
			break;
		case 'l':
			o->log.file = optarg;
			break;
		case 't':
			o->log.text = true;
			break;
		case 'v':
			o->log.verbose = true;
			break;
		case 'V':
			printf("opes-control %s\n", OPES_VERSION);
			return 1;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	}
	if (!o->config)
		o->config = COMMAND_DEFAULT_CONFIG;
	if (optind != argc) {
		usage(stderr);
		return 3;
	}
	return 0;
}

/* --- start ---------------------------------------------------------------------------------------
 */

static int config_first(struct control *c, const char *file)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	int r = errs ? control_config_load(&c->current, file, 1, errs) : -ENOMEM;

	if (r && errs && errs->count)
		control_config_log_errors(errs);
	else if (r)
		control_log_error("%s: %s", file, strerror(-r));
	free(errs);
	if (!r && !realpath(file, c->path))
		snprintf(c->path, sizeof(c->path), "%s", file);
	c->config_us = control_realtime_us();
	return r;
}

static int start_fresh(struct control *c, const char *file)
{
	char err[256];
	int r = config_first(c, file);

	if (r)
		return r;
	c->started_us = control_realtime_us();
	r = control_socket_open(&c->socket, c->current.config->control_socket,
				control_commands_handle, c, err, sizeof(err));
	if (r)
		control_log_error("%s", err);
	return r;
}

/* After control_restart: the file may be wrong by now, so its last good text came along. */
static int start_again(struct control *c, const json_t *state)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	const json_t *text = json_object_get(state, "text");
	const char *path = json_string_value(json_object_get(state, "path"));
	int r = -EINVAL;

	if (errs && path && json_is_string(text)) {
		snprintf(c->path, sizeof(c->path), "%s", path);
		r = control_config_parse(&c->current, c->path, json_string_value(text),
					 json_string_length(text), 1, errs);
	}
	free(errs);
	if (r)
		return r;
	c->config_us = control_realtime_us();
	c->started_us = (uint64_t)json_integer_value(json_object_get(state, "started_us"));
	control_events_load(&c->events, json_object_get(state, "events"));
	r = control_socket_restore(&c->socket, json_object_get(state, "socket"),
				   c->current.config->control_socket, control_commands_handle, c);
	return r;
}

static void plane_start(struct control *c, const json_t *state)
{
	const char *why = json_string_value(json_object_get(state, "why"));

	control_plane_init(&c->plane, c->current.config->file_prefix, c->verbose);
	if (why)
		snprintf(c->plane.why, sizeof(c->plane.why), "%s", why);
	c->plane.avoid = (pid_t)json_integer_value(json_object_get(state, "avoid"));
	c->plane.not_before_us =
		(uint64_t)json_integer_value(json_object_get(state, "not_before_us"));
	if (c->current.config->no_huge) {
		c->plane.never = true;
		snprintf(c->plane.why, sizeof(c->plane.why),
			 "not visible: dpdk.huge-pages is false");
	}
}

/* --- loop ----------------------------------------------------------------------------------------
 */

static void signal_handle(struct control *c, int fd)
{
	struct signalfd_siginfo si;
	char reason[CONTROL_REASON_MAX] = "";
	json_t *result = NULL, *errors = NULL, *e;
	size_t i;
	int r;

	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo != SIGHUP) {
		c->stop = true;
		return;
	}
	if (control_log_reopen())
		control_log_error("the log file cannot be opened again; the old one stays open");
	r = control_reload(c, 0, NULL, &result, reason, &errors);
	if (r < 0)
		control_log_error("reload: %s", reason[0] ? reason : strerror(-r));
	json_array_foreach(errors, i, e)
		control_log_error("%s:%d:%d: %s", json_string_value(json_object_get(e, "file")),
				  (int)json_integer_value(json_object_get(e, "line")),
				  (int)json_integer_value(json_object_get(e, "column")),
				  json_string_value(json_object_get(e, "text")));
	json_decref(errors);
	json_decref(result);
}

static void busy_sample(struct control *c)
{
	uint64_t now = control_now_us();

	if (now < c->busy_sampled_us + BUSY_SAMPLE_US)
		return;
	for (unsigned w = 0; w < c->plane.root->workers && w < SHM_WORKERS_MAX; w++) {
		const struct shm_worker *k = &c->plane.root->worker[w];
		uint64_t busy = k->loop_tsc_busy - c->busy_tsc[w];
		uint64_t total = k->loop_tsc_total - c->total_tsc[w];

		c->busy_permille[w] = total && busy <= total ? (uint32_t)(busy * 1000 / total) : 0;
		c->busy_tsc[w] = k->loop_tsc_busy;
		c->total_tsc[w] = k->loop_tsc_total;
	}
	c->busy_sampled_us = now;
}

/* The memory stays mapped after the dataplane's end: its last events are read before this program
 * begins anew. */
static int plane_lost(struct control *c)
{
	control_plane_unlock(&c->plane);
	if (c->attached) {
		if (c->shared)
			control_events_drain(&c->events, c->plane.root, c->shared);
		control_events_own(&c->events, "dataplane-lost", NULL, 0,
				   "opes-dataplane (pid %d) has ended", (int)c->plane.pid);
	} else {
		control_log_error("dataplane: %s", c->plane.why);
	}
	control_reload_abort(c);
	control_commands_release(c);
	control_plane_detach(&c->plane);
	return control_restart(c);
}

static int tick(struct control *c)
{
	enum control_plane_state before = c->plane.state, now;

	now = control_plane_poll(&c->plane, control_now_us());
	if (now == CONTROL_PLANE_LOST)
		return plane_lost(c);
	if (now == CONTROL_PLANE_UP && !c->attached)
		control_attach(c);
	if (c->attached && now != before && before >= CONTROL_PLANE_UP)
		control_events_own(
			&c->events,
			now == CONTROL_PLANE_STALLED ? "dataplane-stalled" : "dataplane-resumed",
			NULL, 0, "opes-dataplane (pid %d) %s", (int)c->plane.pid,
			now == CONTROL_PLANE_STALLED ? "gives no sign of life" : "goes on");
	if (c->attached) {
		if (c->shared)
			control_events_drain(&c->events, c->plane.root, c->shared);
		busy_sample(c);
		control_reload_poll(c);
	}
	control_commands_poll(c);
	return 0;
}

static int tick_ms(const struct control *c)
{
	if (c->attached && c->publish.state == CONTROL_PUBLISH_PENDING)
		return TICK_BUSY_MS;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->waiter[i].client)
			return TICK_BUSY_MS;
	return TICK_MS;
}

static int loop(struct control *c, int signal_fd)
{
	struct pollfd fds[3 + CONTROL_CLIENTS_MAX];
	int r = 0;

	while (!c->stop && !r) {
		size_t n = control_socket_poll_fill(c->socket, fds + 2);

		fds[0] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = c->plane.pidfd, .events = POLLIN};
		if (poll(fds, 2 + n, tick_ms(c)) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents)
			signal_handle(c, signal_fd);
		control_socket_poll_handle(c->socket, fds + 2, n);
		r = tick(c);
	}
	return r;
}

/* --- process -------------------------------------------------------------------------------------
 */

/*
 * Goes to the background. The parent waits until the child is ready or failed, so that
 * the exit code tells. Returns the descriptor to report to, or -errno; the parent does not return.
 */
static int background(void)
{
	int fds[2], status = 0;
	char ready;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(fds[0]);
		setsid();
		return fds[1];
	}
	close(fds[1]);
	if (read(fds[0], &ready, 1) == 1)
		_exit(0);
	waitpid(pid, &status, 0);
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

static void background_ready(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		for (int i = 0; i < 3; i++)
			dup2(null, i);
	if (write(fd, "", 1) != 1)
		control_log_error("the starting process is gone");
	close(fd);
	close(null);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* before DPDK starts its threads: they inherit the mask */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void finish(struct control *c)
{
	control_commands_release(c);
	if (c->attached)
		atomic_store(&c->plane.root->control_pid, 0);
	control_socket_close(c->socket);
	control_plane_detach(&c->plane);
	control_events_free(&c->events);
	control_config_free(&c->next);
	control_config_free(&c->current);
	if (c->baseline)
		policy_config_free(c->baseline);
}

static int run(struct control *c, const struct options *o, const json_t *state, int ready_fd)
{
	int signal_fd, r;

	control_events_init(&c->events);
	r = state ? start_again(c, state) : start_fresh(c, o->config);
	if (r)
		return r;
	signal_fd = signals_open();
	if (signal_fd < 0)
		return -errno;
	plane_start(c, state);
	control_log_started();
	if (ready_fd >= 0)
		background_ready(ready_fd);
	if (!state)
		control_log_info("serving %s", c->current.config->control_socket);
	r = loop(c, signal_fd);
	if (r)
		control_log_error("stopping: %s", strerror(-r));
	close(signal_fd);
	finish(c);
	return r;
}

int main(int argc, char **argv)
{
	static struct control control;
	struct options o = {0};
	json_t *state = control_restart_state();
	int ready_fd = -1, r = options_parse(argc, argv, &o);

	if (r)
		return r - 1;
	control.argv = argv;
	control.verbose = o.log.verbose;
	if (o.log.background && !state) {
		ready_fd = background();
		if (ready_fd < 0) {
			fprintf(stderr, "opes-control: cannot go to the background: %s\n",
				strerror(-ready_fd));
			return 1;
		}
	}
	r = control_log_open(&o.log);
	if (r) {
		fprintf(stderr, "opes-control: %s: %s\n", o.log.file, strerror(-r));
		return 1;
	}
	r = run(&control, &o, state, ready_fd);
	json_decref(state);
	return r ? 1 : 0;
}
