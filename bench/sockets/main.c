/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-bench-sockets: cases taken in turn, so that a change of the host meets all of them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/sockets/sockets.h"

#define MAIN_CASES 64
#define MAIN_SAMPLES 1000

enum main_mode { MODE_AS_IS, MODE_ECHO, MODE_PING, MODE_PROBE, MODES };
static const char *const mode_name[MODES] = {"as-is", "echo", "ping", "probe"};

struct main_case {
	struct sockets_case c;
	enum main_mode mode;
	char name[80];
	char note[128];
	unsigned taken;
	struct sockets_result *r;
};

struct main_options {
	bool mode[MODES], unix_socket, tcp, poll, spin, spoil;
	uint32_t object[8], objects, chunk, piece;
	int cpu[2];
	unsigned samples;
	double seconds;
	const char *json;
	struct main_case cases[MAIN_CASES];
	unsigned ncases;
};

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "opes-bench-sockets: %s '%s'; try --help\n", what, value);
	return -EINVAL;
}

static void usage(void)
{
	printf("Usage: opes-bench-sockets [options]\n\n"
	       "What two bare processes reach over the sockets that lead to callout servers.\n\n"
	       "  --mode MODE[,MODE]    as-is: chunks go out, a short answer to each comes back\n"
	       "                        echo: chunks go out and come back\n"
	       "                        ping: 1 KiB there, %u octets back, one at a time; both processes on\n"
	       "                        one processor, and on two\n"
	       "                        probe: nothing but the round trip of a cache line between the processors\n"
	       "                        (as-is,echo,ping)\n"
	       "  --socket unix|tcp|both  Unix stream socket, or TCP over the loopback device (unix)\n"
	       "  --object SIZE[,SIZE]  octets of an object, K and M are understood (64K,1M)\n"
	       "  --chunk SIZE          payload octets of a chunk (1460)\n"
	       "  --piece SIZE          payload octets that lie together, as in packets (all of a chunk)\n"
	       "  --wait poll|spin|both sleep on the sockets, or ask them without pause (poll)\n"
	       "  --cpus A,B            processors of the sending and of the answering process (1,0)\n"
	       "  --samples N           measurements of each case (5)\n"
	       "  --seconds S           length of each (1)\n"
	       "  --quick               3 samples of 0.3 s\n"
	       "  --json FILE           append a record for each case (bench/README.md)\n"
	       "  --spoil               the answering process falsifies octets: the run must fail\n"
	       "  -h, --help\n",
	       SOCKETS_ANSWER_LEN);
}

static int read_size(const char *text, char **end, uint32_t *out)
{
	double v = strtod(text, end);

	if (*end == text)
		return -EINVAL;
	if (**end == 'K')
		v *= 1024;
	else if (**end == 'M')
		v *= 1024 * 1024;
	if (**end == 'K' || **end == 'M')
		*end += strncmp(*end + 1, "iB", 2) == 0 ? 3 : 1;
	if (v < 1 || v > SOCKETS_OBJECT_MAX)
		return -ERANGE;
	*out = (uint32_t)v;
	return 0;
}

static int read_objects(struct main_options *o, const char *text)
{
	const char *at = text;
	char *end;

	for (o->objects = 0; o->objects < 8; at = end + 1) {
		if (read_size(at, &end, &o->object[o->objects]))
			return complain("sizes of 1 to 2M expected, not", text);
		o->objects++;
		if (!*end)
			return 0;
		if (*end != ',')
			break;
	}
	return complain("up to 8 sizes expected, not", text);
}

static int read_modes(struct main_options *o, const char *text)
{
	char copy[80], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	memset(o->mode, 0, sizeof(o->mode));
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		int m = 0;

		while (m < MODES && strcmp(w, mode_name[m]))
			m++;
		if (m == MODES)
			return complain("unknown mode", w);
		o->mode[m] = true;
	}
	return 0;
}

/* Of two words, either or both. */
static int read_either(const char *text, const char *a, const char *b, bool *first, bool *second)
{
	bool both = strcmp(text, "both") == 0;

	*first = both || strcmp(text, a) == 0;
	*second = both || strcmp(text, b) == 0;
	return *first || *second ? 0 : complain("unknown word", text);
}

static int read_cpus(struct main_options *o, const char *text)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (sscanf(text, "%d,%d", &o->cpu[0], &o->cpu[1]) != 2 || o->cpu[0] < 0 || o->cpu[1] < 0)
		return complain("two processor numbers expected, not", text);
	if (o->cpu[0] >= n || o->cpu[1] >= n)
		return complain("this host has fewer processors than", text);
	return 0;
}

enum { OPT_MODE = 256, OPT_SOCKET, OPT_OBJECT, OPT_CHUNK, OPT_PIECE, OPT_WAIT, OPT_CPUS, OPT_SAMPLES, OPT_SECONDS, OPT_QUICK,
       OPT_JSON, OPT_SPOIL };

static int read_option(struct main_options *o, int opt, const char *arg)
{
	char *end = NULL;

	switch (opt) {
	case OPT_MODE:
		return read_modes(o, arg);
	case OPT_SOCKET:
		return read_either(arg, "unix", "tcp", &o->unix_socket, &o->tcp);
	case OPT_OBJECT:
		return read_objects(o, arg);
	case OPT_CHUNK:
		return read_size(arg, &end, &o->chunk) || *end || o->chunk > 65536
			       ? complain("a chunk of 1 to 65536 octets expected, not", arg)
			       : 0;
	case OPT_PIECE:
		return read_size(arg, &end, &o->piece) || *end || o->piece < 128
			       ? complain("a piece of 128 octets or more expected, not", arg)
			       : 0;
	case OPT_WAIT:
		return read_either(arg, "poll", "spin", &o->poll, &o->spin);
	case OPT_CPUS:
		return read_cpus(o, arg);
	case OPT_SAMPLES:
		o->samples = (unsigned)strtoul(arg, &end, 10);
		return *end || !o->samples || o->samples > MAIN_SAMPLES
			       ? complain("1 to 1000 samples expected, not", arg)
			       : 0;
	case OPT_SECONDS:
		o->seconds = strtod(arg, &end);
		return *end || !(o->seconds > 0 && o->seconds <= 3600) ? complain("seconds expected, not", arg) : 0;
	case OPT_QUICK:
		o->samples = 3;
		o->seconds = 0.3;
		return 0;
	case OPT_JSON:
		o->json = arg;
		return 0;
	case OPT_SPOIL:
		o->spoil = true;
		return 0;
	}
	if (opt == 'h')
		usage();
	return opt == 'h' ? 1 : -EINVAL;
}

static int read_options(struct main_options *o, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"mode", required_argument, NULL, OPT_MODE},
		{"socket", required_argument, NULL, OPT_SOCKET},
		{"object", required_argument, NULL, OPT_OBJECT},
		{"chunk", required_argument, NULL, OPT_CHUNK},
		{"piece", required_argument, NULL, OPT_PIECE},
		{"wait", required_argument, NULL, OPT_WAIT},
		{"cpus", required_argument, NULL, OPT_CPUS},
		{"samples", required_argument, NULL, OPT_SAMPLES},
		{"seconds", required_argument, NULL, OPT_SECONDS},
		{"quick", no_argument, NULL, OPT_QUICK},
		{"json", required_argument, NULL, OPT_JSON},
		{"spoil", no_argument, NULL, OPT_SPOIL},
		{"help", no_argument, NULL, 'h'},
		{0}};
	int opt, rc = 0;

	while (rc == 0 && (opt = getopt_long(argc, argv, "h", longopts, NULL)) >= 0)
		rc = read_option(o, opt, optarg);
	if (rc == 0 && optind < argc)
		rc = complain("unexpected argument", argv[optind]);
	return rc;
}

static void size_text(char *to, size_t cap, uint32_t n)
{
	if (n % (1 << 20) == 0)
		snprintf(to, cap, "%uMiB", n >> 20);
	else if (n % 1024 == 0)
		snprintf(to, cap, "%uKiB", n >> 10);
	else
		snprintf(to, cap, "%uB", n);
}

static void add_case(struct main_options *o, enum main_mode mode, bool tcp, bool spin, uint32_t object, bool same)
{
	struct main_case *m = &o->cases[o->ncases];
	char size[16];

	if (o->ncases == MAIN_CASES)
		return;
	o->ncases++;
	m->mode = mode;
	m->c = (struct sockets_case){.tcp = tcp, .echo = mode == MODE_ECHO, .spin = spin, .spoil = o->spoil,
				     .cpu = {o->cpu[0], same ? o->cpu[0] : o->cpu[1]}, .object = object,
				     .chunk = o->chunk, .piece = o->piece, .seconds = o->seconds};
	size_text(size, sizeof(size), object);
	if (mode == MODE_PROBE)
		snprintf(m->name, sizeof(m->name), "sockets/probe");
	else
		snprintf(m->name, sizeof(m->name), "sockets/%s/%s/%s/%s%s", tcp ? "tcp" : "unix", mode_name[mode],
			 size, spin ? "spin" : "poll", mode != MODE_PING ? "" : same ? "/one-cpu" : "/two-cpus");
	if (mode != MODE_PING && mode != MODE_PROBE)
		snprintf(m->note, sizeof(m->note), "framing of every chunk and all octets of every %uth compared",
			 SOCKETS_VERIFY_EVERY);
}

/* spin on one processor would be two processes fighting for it: not taken. */
static void make_cases(struct main_options *o)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		if (!(tcp ? o->tcp : o->unix_socket))
			continue;
		for (int spin = 0; spin < 2; spin++) {
			if (!(spin ? o->spin : o->poll))
				continue;
			for (enum main_mode m = MODE_AS_IS; m <= MODE_ECHO; m++)
				for (uint32_t i = 0; o->mode[m] && i < o->objects; i++)
					add_case(o, m, tcp, spin, o->object[i], false);
			if (o->mode[MODE_PING] && !spin)
				add_case(o, MODE_PING, tcp, spin, 1024, true);
			if (o->mode[MODE_PING])
				add_case(o, MODE_PING, tcp, spin, 1024, false);
		}
	}
	if (o->mode[MODE_PROBE])
		add_case(o, MODE_PROBE, false, true, 0, false);
}

static int take(struct main_case *m)
{
	struct sockets_result *r = &m->r[m->taken];
	int rc = 0;

	r->probe_ns[0] = sockets_probe(m->c.cpu[0], m->c.cpu[1]);
	if (m->mode == MODE_PING)
		rc = sockets_ping(&m->c, r);
	else if (m->mode == MODE_PROBE)
		r->value[0] = r->probe_ns[0];
	else
		rc = sockets_stream(&m->c, r);
	r->probe_ns[1] = m->mode == MODE_PROBE ? r->probe_ns[0] : sockets_probe(m->c.cpu[0], m->c.cpu[1]);
	if (rc == 0)
		m->taken++;
	return rc;
}

static void progress(const struct main_options *o, unsigned sample, const struct main_case *m)
{
	const struct sockets_result *r = &m->r[m->taken - 1];
	char what[64];

	if (m->mode == MODE_PING)
		snprintf(what, sizeof(what), "p50 %6.1f us  p99 %6.1f us", r->value[0] / 1e3, r->value[1] / 1e3);
	else if (m->mode == MODE_PROBE)
		snprintf(what, sizeof(what), "%6.0f ns", r->value[0]);
	else
		snprintf(what, sizeof(what), "%7.3f GB/s", r->value[0] / 1e9);
	fprintf(stderr, "%u/%u  %-36s %-30s cache line %3.0f, %3.0f ns\n", sample + 1, o->samples, m->name, what,
		r->probe_ns[0], r->probe_ns[1]);
}

static void record(FILE *f, const struct main_case *m, const char *metric, const char *unit, const char *better,
		   unsigned column, double scale, int rc)
{
	fprintf(f, "{\"bench\": \"sockets\", \"name\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\", "
		   "\"better\": \"%s\", \"samples\": [", m->name, metric, unit, better);
	for (unsigned i = 0; i < m->taken; i++)
		fprintf(f, "%s%.6g", i ? ", " : "", m->r[i].value[column] / scale);
	fprintf(f, "], \"probe_ns\": [");
	for (unsigned i = 0; i < m->taken; i++)
		fprintf(f, "%s[%.0f, %.0f]", i ? ", " : "", m->r[i].probe_ns[0], m->r[i].probe_ns[1]);
	fprintf(f, "], \"params\": {\"socket\": \"%s\", \"mode\": \"%s\", \"object\": %u, \"chunk\": %u, \"piece\": %u, \"cpus\": [%d, %d], "
		   "\"wait\": \"%s\", \"seconds\": %g}, \"ok\": %s, \"note\": \"%s\"}\n",
		m->c.tcp ? "tcp" : "unix", mode_name[m->mode], m->c.object, m->c.chunk, m->c.piece, m->c.cpu[0], m->c.cpu[1],
		m->c.spin ? "spin" : "poll", m->c.seconds, rc ? "false" : "true", rc ? strerror(-rc) : m->note);
}

static int write_records(const struct main_options *o, const struct main_case *failed, int rc)
{
	FILE *f = fopen(o->json, "a");

	if (!f) {
		fprintf(stderr, "opes-bench-sockets: %s: %s\n", o->json, strerror(errno));
		return -errno;
	}
	for (unsigned i = 0; i < o->ncases; i++) {
		const struct main_case *m = &o->cases[i];
		int bad = m == failed ? rc : 0;

		if (!m->taken && !bad)
			continue;
		if (m->mode == MODE_PING) {
			record(f, m, "p50", "us", "lower", 0, 1e3, bad);
			record(f, m, "p99", "us", "lower", 1, 1e3, bad);
		} else if (m->mode == MODE_PROBE) {
			record(f, m, "cache_line_round_trip", "ns", "lower", 0, 1, bad);
		} else {
			record(f, m, "payload_rate", "B/s", "higher", 0, 1, bad);
		}
	}
	return fclose(f) == 0 ? 0 : -errno;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const struct main_case *m, unsigned column)
{
	double v[MAIN_SAMPLES];

	for (unsigned i = 0; i < m->taken; i++)
		v[i] = m->r[i].value[column];
	qsort(v, m->taken, sizeof(*v), by_value);
	return m->taken % 2 ? v[m->taken / 2] : (v[m->taken / 2 - 1] + v[m->taken / 2]) / 2;
}

static void print_table(const struct main_options *o)
{
	printf("%-38s %10s %-6s %10s\n", "case", "median", "", "p99");
	for (unsigned i = 0; i < o->ncases; i++) {
		const struct main_case *m = &o->cases[i];

		if (!m->taken)
			continue;
		if (m->mode == MODE_PING)
			printf("%-38s %10.1f %-6s %10.1f\n", m->name, median(m, 0) / 1e3, "us", median(m, 1) / 1e3);
		else if (m->mode == MODE_PROBE)
			printf("%-38s %10.0f %-6s\n", m->name, median(m, 0), "ns");
		else
			printf("%-38s %10.3f %-6s\n", m->name, median(m, 0) / 1e9, "GB/s");
	}
}

static int measure(struct main_options *o)
{
	const struct main_case *failed = NULL;
	int rc = sockets_arena_make(), rc2;

	for (unsigned i = 0; rc == 0 && i < o->ncases; i++) {
		o->cases[i].r = calloc(o->samples, sizeof(*o->cases[i].r));
		if (!o->cases[i].r)
			rc = -ENOMEM;
	}
	for (unsigned n = 0; rc == 0 && n < o->samples; n++) {
		for (unsigned i = 0; rc == 0 && i < o->ncases; i++) {
			rc = take(&o->cases[i]);
			if (rc)
				failed = &o->cases[i];
			else
				progress(o, n, &o->cases[i]);
		}
	}
	if (failed)
		fprintf(stderr, "opes-bench-sockets: %s failed: %s\n", failed->name, strerror(-rc));
	if (o->json) {
		rc2 = write_records(o, failed, rc);
		rc = rc ? rc : rc2;
	}
	if (rc == 0)
		print_table(o);
	for (unsigned i = 0; i < o->ncases; i++)
		free(o->cases[i].r);
	return rc;
}

int main(int argc, char **argv)
{
	static struct main_options o = {
		.mode = {[MODE_AS_IS] = true, [MODE_ECHO] = true, [MODE_PING] = true},
		.unix_socket = true, .poll = true, .object = {64 << 10, 1 << 20}, .objects = 2, .chunk = 1460,
		.cpu = {1, 0}, .samples = 5, .seconds = 1};
	int rc;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		o.cpu[0] = 0;
	rc = read_options(&o, argc, argv);
	if (rc == 0) {
		make_cases(&o);
		rc = measure(&o);
	}
	return rc < 0 ? 1 : 0;
}
