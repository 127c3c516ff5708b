/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-tamper: a cable between two interfaces that loses, doubles, displaces, delays and corrupts. See --help. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tamper/tamper_wire.h"

#define MESSAGE_MAX 4096

struct program {
	struct wire wire;
	int signals, listener, client;
	const char *path; /* of the listener */
	bool ended;
};

static int fail(const char *text, int code)
{
	fprintf(stderr, "opes-tamper: %s\n", text);
	return code;
}

static int control_open(struct program *p, const char *path, char *error)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(a.sun_path)) {
		snprintf(error, TAMPER_ERROR_MAX, "--control: the path is longer than %zu", sizeof(a.sun_path) - 1);
		return -1;
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&a, sizeof(a)) || listen(p->listener, 8)) {
		snprintf(error, TAMPER_ERROR_MAX, "--control: %.80s: %s", path, strerror(errno));
		return -1;
	}
	p->path = path;
	return 0;
}

/* The answer to a message, at most MESSAGE_MAX octets with the final zero. */
static void control_answer(struct program *p, char *message, char *answer)
{
	char error[TAMPER_ERROR_MAX];
	struct tamper_options o;
	FILE *f;

	if (!strncmp(message, "counters", 8)) {
		*answer = 0;
		f = fmemopen(answer, MESSAGE_MAX, "w");
		if (f) {
			wire_report(&p->wire, f);
			fclose(f);
		}
	} else if (strncmp(message, "set", 3) || (message[3] && message[3] != ' ')) {
		snprintf(answer, MESSAGE_MAX, "error: \"counters\" and \"set OPTIONS\" are understood");
	} else if (tamper_options_line(&o, message + 3, error)) {
		snprintf(answer, MESSAGE_MAX, "error: %s", error);
	} else {
		tamper_set(&p->wire.stage[0], &o.conf[0], true);
		tamper_set(&p->wire.stage[1], &o.conf[1], true);
		snprintf(answer, MESSAGE_MAX, "ok");
	}
}

static void control_read(struct program *p)
{
	char message[MESSAGE_MAX], answer[MESSAGE_MAX];
	ssize_t n = recv(p->client, message, sizeof(message) - 1, MSG_DONTWAIT);

	if (n > 0) {
		message[n] = 0;
		control_answer(p, message, answer);
		if (send(p->client, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return;
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	close(p->client);
	p->client = -1;
}

/* A new client takes the place of an old one. */
static void control_accept(struct program *p)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (p->client >= 0)
		close(p->client);
	p->client = fd;
}

static void signal_read(struct program *p)
{
	struct signalfd_siginfo s;

	while (read(p->signals, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo != SIGUSR1) {
			p->ended = true;
			continue;
		}
		wire_report(&p->wire, stdout);
		fflush(stdout);
	}
}

static void loop(struct program *p)
{
	struct pollfd fds[] = {{p->wire.end[0].fd, POLLIN, 0}, {p->wire.end[1].fd, POLLIN, 0}, {p->signals, POLLIN, 0},
			       {p->listener, POLLIN, 0},       {-1, POLLIN, 0}};
	uint64_t due, now;
	unsigned i, turns;

	while (!p->ended) {
		struct timespec wait = {0, 0};

		due = wire_due(&p->wire);
		now = wire_now();
		if (due != TAMPER_NEVER && due > now)
			wait = (struct timespec){(time_t)((due - now) / 1000000000u), (long)((due - now) % 1000000000u)};
		fds[4].fd = p->client;
		if (ppoll(fds, 5, due == TAMPER_NEVER ? NULL : &wait, NULL) < 0 && errno != EINTR)
			break;
		p->wire.wakes++;
		for (i = 0; i < 2; i++)
			/* Not for ever: what is due in the other direction must go, too. */
			for (turns = 4; fds[i].revents && turns && wire_receive(&p->wire, i); turns--)
				;
		wire_send(&p->wire);
		if (fds[2].revents)
			signal_read(p);
		if (fds[4].revents)
			control_read(p);
		if (fds[3].revents)
			control_accept(p);
	}
}

static int run(struct program *p, const struct tamper_options *o)
{
	char error[TAMPER_ERROR_MAX];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (p->signals < 0)
		return fail("signals cannot be read", 1);
	if (wire_open(&p->wire, o, error) || (o->control && control_open(p, o->control, error)))
		return fail(error, 1);
	/* The kernel would make a sleep 50 us longer to wake less often. */
	prctl(PR_SET_TIMERSLACK, 1);
	printf("opes-tamper: ready\n");
	fflush(stdout);
	loop(p);
	wire_report(&p->wire, stdout);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct program p = {.signals = -1, .listener = -1, .client = -1, .wire.end = {{.fd = -1}, {.fd = -1}}};
	char error[TAMPER_ERROR_MAX];
	struct tamper_options o;
	int code;

	if (tamper_options_read(&o, argc - 1, argv + 1, error))
		return fail(error, 2);
	if (o.help) {
		fputs(tamper_options_help, stdout);
		return 0;
	}
	if (!o.device[1])
		return fail("two interfaces are wanted; opes-tamper --help tells more", 2);
	if (!strcmp(o.device[0], o.device[1]))
		return fail("the two interfaces are the same one", 2);
	code = run(&p, &o);
	wire_close(&p.wire);
	if (p.path)
		unlink(p.path);
	return code;
}
