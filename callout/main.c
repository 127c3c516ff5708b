/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-callout: a callout server with the services of services/. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "callout/opes_callout.h"
#include "callout/services/services.h"

#define MAIN_LISTEN_MAX 32
#define MAIN_SERVICES_MAX 256
#define MAIN_DEFAULT_LISTEN "tcp:127.0.0.1:4037"

struct main_options {
	const char *listen[MAIN_LISTEN_MAX];
	unsigned nlisten;
	char *service[MAIN_SERVICES_MAX]; /* text for oc_loop_service_text */
	unsigned nservices;
	bool quiet, stats, json;
	struct oc_loop_config loop;
};

static int main_complain(const char *fmt, const char *what)
{
	fprintf(stderr, "opes-callout: ");
	fprintf(stderr, fmt, what);
	fprintf(stderr, "\n");
	return -EINVAL;
}

static void main_usage(void)
{
	printf("Usage: opes-callout [--listen ADDRESS]... [--service SERVICE]... [options]\n\n"
	       "ADDRESS  tcp:HOST:PORT or unix:/path (" MAIN_DEFAULT_LISTEN ")\n"
	       "SERVICE  NAME[:URI][,key=value]...   (none given: echo, as-is, block and log)\n\n"
	       "      --replace OLD=NEW     the same as ,replace=OLD=NEW of the service before\n"
	       "      --set key=value       the same as ,key=value of the service before\n"
	       "      --dialect WHICH       draft, core (RFC 4037) or both (both)\n"
	       "      --ack-all             acknowledge every data-have; core: report progress after every DUM\n"
	       "      --max-connections N   connections open at a time (%u)\n"
	       "      --max-transactions N  transactions open at a time per connection (%u)\n"
	       "      --stats               print statistics at the end; SIGUSR1 prints them at any time\n"
	       "      --json                log lines and statistics as JSON\n"
	       "  -q, --quiet               nothing about connections\n"
	       "  -h, --help\n"
	       "  -V, --version\n\n"
	       "Options of every service, for processors that speak RFC 4037 and the HTTP profile of RFC 4236\n"
	       "(as ,key=value of the service, or as --key value behind it):\n"
	       "  aux-parts=PART+...            auxiliary parts wanted: request-header, request-body, request-trailer\n"
	       "  pause-at-body=N               pause after N octets of the body\n"
	       "  stop-receiving-body=N         no more than N octets of the body (answer)\n"
	       "  preservation-interest-body=N  preserve no more than N octets of the body\n"
	       "  content-encodings=NAME+...    preferred codings, best first\n"
	       "  refuse=offers|transactions|messages  refuse what is named\n\nServices:\n",
	       OC_LOOP_CONFIG_DEFAULT.connections_max, OC_LOOP_CONFIG_DEFAULT.xactions_max);
	for (const struct oc_service_type *const *t = services_all; *t; t++)
		printf("%s (%s): %s\n%s", (*t)->name, (*t)->uri, (*t)->summary, (*t)->options ? (*t)->options : "");
	printf("\nIn values, \\, \\= \\\\ \\n \\r \\t \\xHH stand for the octet itself.\n");
}

static int main_service(struct main_options *o, const char *text)
{
	if (o->nservices == MAIN_SERVICES_MAX)
		return main_complain("too many services: %s", text);
	o->service[o->nservices] = strdup(text);
	return o->service[o->nservices++] ? 0 : main_complain("%s", "out of memory");
}

/* Adds `,key=value` to the last service; commas in value are its own. */
static int main_extend(struct main_options *o, const char *key, const char *value)
{
	char *old, *text, *to;

	if (!o->nservices)
		return main_complain("'%s' belongs to a service: write it behind a --service", key);
	old = o->service[o->nservices - 1];
	text = malloc(strlen(old) + strlen(key) + 2 * strlen(value) + 2);
	if (!text)
		return main_complain("%s", "out of memory");
	to = text + sprintf(text, "%s,%s", old, key);
	for (; *value; value++) {
		if (*value == '\\' && value[1])
			*to++ = *value++;
		else if (*value == ',')
			*to++ = '\\';
		*to++ = *value;
	}
	*to = '\0';
	free(old);
	o->service[o->nservices - 1] = text;
	return 0;
}

static int main_number(const char *text, uint32_t *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n == 0 || n > INT32_MAX)
		return main_complain("'%s': positive number expected", text);
	*out = (uint32_t)n;
	return 0;
}

enum { OPT_LISTEN = 256, OPT_SERVICE, OPT_REPLACE, OPT_SET, OPT_ACK_ALL, OPT_CONNECTIONS, OPT_XACTIONS, OPT_STATS,
       OPT_JSON, OPT_DIALECT, OPT_WISH };

static const struct option main_longopts[] = {
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"service", required_argument, NULL, OPT_SERVICE},
	{"replace", required_argument, NULL, OPT_REPLACE},
	{"set", required_argument, NULL, OPT_SET},
	{"ack-all", no_argument, NULL, OPT_ACK_ALL},
	{"max-connections", required_argument, NULL, OPT_CONNECTIONS},
	{"max-transactions", required_argument, NULL, OPT_XACTIONS},
	{"stats", no_argument, NULL, OPT_STATS},
	{"json", no_argument, NULL, OPT_JSON},
	{"dialect", required_argument, NULL, OPT_DIALECT},
	{"aux-parts", required_argument, NULL, OPT_WISH},
	{"pause-at-body", required_argument, NULL, OPT_WISH},
	{"stop-receiving-body", required_argument, NULL, OPT_WISH},
	{"preservation-interest-body", required_argument, NULL, OPT_WISH},
	{"content-encodings", required_argument, NULL, OPT_WISH},
	{"refuse", required_argument, NULL, OPT_WISH},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0}};

static int main_dialect(struct main_options *o, const char *arg)
{
	if (strcmp(arg, "draft") == 0)
		o->loop.dialects = OC_DIALECT_DRAFT;
	else if (strcmp(arg, "core") == 0)
		o->loop.dialects = OC_DIALECT_CORE;
	else if (strcmp(arg, "both") == 0)
		o->loop.dialects = OC_DIALECT_DRAFT | OC_DIALECT_CORE;
	else
		return main_complain("'--dialect %s': draft, core or both expected", arg);
	return 0;
}

/* --name: as ,name=arg of the service before. */
static int main_wish(struct main_options *o, const char *name, const char *arg)
{
	char key[64];

	snprintf(key, sizeof(key), "%s=", name);
	return main_extend(o, key, arg);
}

static int main_option(struct main_options *o, int opt, const char *name, const char *arg)
{
	switch (opt) {
	case OPT_LISTEN:
		if (o->nlisten == MAIN_LISTEN_MAX)
			return main_complain("too many addresses: %s", arg);
		o->listen[o->nlisten++] = arg;
		return 0;
	case OPT_SERVICE:
		return main_service(o, arg);
	case OPT_REPLACE:
		return main_extend(o, "replace=", arg);
	case OPT_SET:
		return main_extend(o, "", arg);
	case OPT_DIALECT:
		return main_dialect(o, arg);
	case OPT_WISH:
		return main_wish(o, name, arg);
	case OPT_ACK_ALL:
		o->loop.ack_all = true;
		return 0;
	case OPT_CONNECTIONS:
		return main_number(arg, &o->loop.connections_max);
	case OPT_XACTIONS:
		return main_number(arg, &o->loop.xactions_max);
	case OPT_STATS:
		o->stats = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'h':
		main_usage();
		return 1;
	case 'V':
		printf("opes-callout %s\n", OPES_VERSION);
		return 1;
	}
	return main_complain("%s", "try --help");
}

/* 0: go on; 1: done; -EINVAL: complained. */
static int main_options_read(struct main_options *o, int argc, char **argv)
{
	static const char *const defaults[] = {"echo", "as-is", "block", "log"};
	int opt, at = 0, rc = 0;

	while (rc == 0 && (opt = getopt_long(argc, argv, "qhV", main_longopts, &at)) >= 0)
		rc = main_option(o, opt, main_longopts[at].name, optarg);
	if (rc == 0 && optind < argc)
		rc = main_complain("unexpected argument '%s'", argv[optind]);
	if (!o->nservices) {
		for (unsigned i = 0; rc == 0 && i < sizeof(defaults) / sizeof(defaults[0]); i++)
			rc = main_service(o, defaults[i]);
	}
	if (!o->nlisten)
		o->listen[o->nlisten++] = MAIN_DEFAULT_LISTEN;
	return rc;
}

static void main_log(void *ctx, const char *line)
{
	fprintf(stderr, "opes-callout: %s\n", line);
}

static void main_print_service(const struct oc_service_stats *s, bool json, bool first)
{
	fprintf(stderr,
		json ? "%s{\"name\":\"%s\",\"uri\":\"%s\",\"transactions\":%" PRIu64 ",\"open\":%" PRIu64
		       ",\"refused\":%" PRIu64 ",\"aborted\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"left\":%" PRIu64
		       ",\"peer_ended\":%" PRIu64 ",\"octets_in\":%" PRIu64 ",\"octets_have\":%" PRIu64
		       ",\"octets_as_is\":%" PRIu64 ",\"hits\":%" PRIu64 "}"
		     : "%sservice %s %s: transactions %" PRIu64 " open %" PRIu64 " refused %" PRIu64
		       " aborted %" PRIu64 " answered %" PRIu64 " left %" PRIu64 " peer-ended %" PRIu64
		       " octets-in %" PRIu64 " have %" PRIu64 " as-is %" PRIu64 " hits %" PRIu64 "\n",
		json && !first ? "," : "", s->name, s->uri, s->xactions, s->xactions_open, s->refused, s->aborted,
		s->answered, s->left, s->peer_ended, s->octets_in, s->octets_have, s->octets_as_is, s->hits);
}

static void main_print_stats(const struct oc_loop *loop, bool json)
{
	struct oc_service_stats s;
	struct oc_stats st;

	oc_loop_stats(loop, &st);
	fprintf(stderr,
		json ? "{\"connections\":%" PRIu64 ",\"open\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"malformed\":%" PRIu64
		       ",\"octets_in\":%" PRIu64 ",\"octets_out\":%" PRIu64 ",\"services\":["
		     : "connections %" PRIu64 " open %" PRIu64 " refused %" PRIu64 " malformed %" PRIu64
		       " octets-in %" PRIu64 " octets-out %" PRIu64 "\n",
		st.connections, st.connections_open, st.connections_refused, st.malformed, st.octets_in,
		st.octets_out);
	for (unsigned i = 0; oc_loop_service_stats(loop, i, &s); i++)
		main_print_service(&s, json, i == 0);
	if (json)
		fprintf(stderr, "]}\n");
	fflush(stderr);
}

struct main_signals {
	struct oc_loop *loop;
	int fd;
	bool json;
};

static void main_on_signal(void *arg, uint32_t events)
{
	struct main_signals *m = arg;
	struct signalfd_siginfo si;

	while (read(m->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGUSR1)
			main_print_stats(m->loop, m->json);
		else
			oc_loop_stop(m->loop);
	}
}

static int main_setup(struct oc_loop *loop, struct main_options *o, struct main_signals *m)
{
	struct oc_error err = {""};
	sigset_t set;

	for (unsigned i = 0; i < o->nservices; i++) {
		if (oc_loop_service_text(loop, services_all, o->service[i], &err) != 0)
			return main_complain("%s", err.text);
	}
	for (unsigned i = 0; i < o->nlisten; i++) {
		if (oc_loop_listen(loop, o->listen[i], &err) != 0)
			return main_complain("%s", err.text);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->loop = loop;
	m->json = o->json;
	m->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->fd < 0 || oc_loop_watch(loop, m->fd, EPOLLIN, main_on_signal, m) != 0)
		return main_complain("%s", "no signalfd");
	return 0;
}

int main(int argc, char **argv)
{
	struct main_options o = {.loop = OC_LOOP_CONFIG_DEFAULT};
	struct main_signals m = {.fd = -1};
	struct oc_loop *loop = NULL;
	int rc = main_options_read(&o, argc, argv);

	if (rc == 0) {
		o.loop.log = o.quiet ? NULL : main_log;
		service_log_output.json = o.json;
		loop = oc_loop_new(&o.loop);
		rc = loop ? main_setup(loop, &o, &m) : main_complain("%s", strerror(errno));
	}
	if (rc == 0) {
		printf("opes-callout: ready\n");
		fflush(stdout);
		rc = oc_loop_run(loop);
		if (o.stats)
			main_print_stats(loop, o.json);
	}
	oc_loop_free(loop);
	if (m.fd >= 0)
		close(m.fd);
	for (unsigned i = 0; i < o.nservices; i++)
		free(o.service[i]);
	return rc < 0 ? 1 : 0;
}
