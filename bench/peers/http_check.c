/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-http-check: writes seeded objects, and fetches them in a closed loop, comparing every octet.
 */
#include "load.h"
#include "pattern.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_OCTETS (1ull << 30)

static const char usage_text[] =
	"usage: opes-http-check --make FILE --size N [--seed N]\n"
	"       opes-http-check --connect ADDRESS:PORT --path PATH --size N [--seed N] [options]\n"
	"\n"
	"Writes an object, or fetches it in a closed loop and compares every octet of every "
	"response.\n"
	"\n"
	"  --make FILE         write the object of --size and --seed, and end\n"
	"  --connect A:P       IPv4 address and port of the server, or of what stands before it\n"
	"  --path PATH         of the object (/)\n"
	"  --host NAME         Host field (the address)\n"
	"  --size N            octets of the object, up to 1 GiB\n"
	"  --seed N            of its octets (1)\n"
	"  --connections N     at a time, up to 4096 (32)\n"
	"  --seconds S         begin no request after this (2)\n"
	"  --requests N        or after so many\n"
	"  --close             a connection for every request\n"
	"  --json              print the result as a JSON object\n";

struct args {
	const char *make, *connect;
	uint64_t seed;
	bool json;
	struct load_options o;
	char host[64];
};

static int number(const char *name, const char *text, double max, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end || !(*out >= 0 && *out <= max)) {
		fprintf(stderr, "opes-http-check: --%s %s: a number from 0 to %.0f is needed\n",
			name, text, max);
		return -EINVAL;
	}
	return 0;
}

static int address(struct args *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->o.address;
	const char *colon = strrchr(a->connect, ':');
	size_t len = colon ? (size_t)(colon - a->connect) : 0;
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	if (!len || len >= sizeof(a->host) || port < 1 || port > 65535)
		goto bad;
	memcpy(a->host, a->connect, len);
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, a->host, &in->sin_addr) != 1)
		goto bad;
	a->o.address_len = sizeof(*in);
	if (!a->o.host)
		a->o.host = a->host;
	return 0;
bad:
	fprintf(stderr,
		"opes-http-check: --connect %s: an IPv4 address and a port are needed, as in "
		"10.0.0.1:80\n",
		a->connect);
	return -EINVAL;
}

static const struct option options[] = {
	{"make", required_argument, NULL, 'm'},
	{"connect", required_argument, NULL, 'c'},
	{"path", required_argument, NULL, 'p'},
	{"host", required_argument, NULL, 'H'},
	{"size", required_argument, NULL, 's'},
	{"seed", required_argument, NULL, 'S'},
	{"connections", required_argument, NULL, 'n'},
	{"seconds", required_argument, NULL, 't'},
	{"requests", required_argument, NULL, 'r'},
	{"close", no_argument, NULL, 'C'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* 0, 1 = help was asked for, -EINVAL. */
static int option(struct args *a, int c)
{
	double v;
	int rc = 0;

	switch (c) {
	case 'm':
		a->make = optarg;
		break;
	case 'c':
		a->connect = optarg;
		break;
	case 'p':
		a->o.path = optarg;
		break;
	case 'H':
		a->o.host = optarg;
		break;
	case 'C':
		a->o.close = true;
		break;
	case 'j':
		a->json = true;
		break;
	case 'h':
		return 1;
	case 's':
		rc = number("size", optarg, (double)SIZE_MAX_OCTETS, &v);
		a->o.size = (uint64_t)v;
		break;
	case 'S':
		rc = number("seed", optarg, 1e15, &v);
		a->seed = (uint64_t)v;
		break;
	case 'n':
		rc = number("connections", optarg, LOAD_CONNECTIONS_MAX, &v);
		a->o.connections = (unsigned)v;
		break;
	case 't':
		rc = number("seconds", optarg, 86400, &a->o.seconds);
		break;
	case 'r':
		rc = number("requests", optarg, 1e15, &v);
		a->o.requests = (uint64_t)v;
		break;
	default:
		return -EINVAL;
	}
	return rc;
}

static int parse(struct args *a, int argc, char **argv)
{
	int c, rc;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		rc = option(a, c);
		if (rc)
			return rc;
	}
	if (optind < argc) {
		fprintf(stderr, "opes-http-check: '%s' is not an option\n", argv[optind]);
		return -EINVAL;
	}
	if (!a->make == !a->connect) {
		fprintf(stderr, "opes-http-check: either --make FILE or --connect ADDRESS:PORT is "
				"needed\n");
		return -EINVAL;
	}
	if (!a->o.connections) {
		fprintf(stderr, "opes-http-check: --connections 0: at least one is needed\n");
		return -EINVAL;
	}
	return a->connect ? address(a) : 0;
}

static void print_json(const struct load_result *r)
{
	char error[sizeof(r->error) + 1];
	size_t i;

	for (i = 0; r->error[i]; i++)
		error[i] = strchr("\"\\", r->error[i]) || r->error[i] < ' ' ? '\'' : r->error[i];
	error[i] = '\0';
	printf("{\"transactions\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"connections\": %" PRIu64
	       ", \"failures\": %" PRIu64 ", \"seconds\": %.6f, \"min_ns\": %" PRIu64
	       ", \"p50_ns\": %" PRIu64 ", \"p90_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
	       ", \"p999_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64 ", \"error\": \"%s\"}\n",
	       r->transactions, r->octets, r->connections, r->failures, r->seconds, r->ns_min,
	       load_quantile(r, 0.5), load_quantile(r, 0.9), load_quantile(r, 0.99),
	       load_quantile(r, 0.999), r->ns_max, error);
}

static void print_text(const struct load_result *r)
{
	double s = r->seconds > 0 ? r->seconds : 1;

	printf("transactions  %12" PRIu64 "  %12.0f /s\n", r->transactions,
	       (double)r->transactions / s);
	printf("octets        %12" PRIu64 "  %12.1f MB/s\n", r->octets,
	       (double)r->octets / s / 1e6);
	printf("connections   %12" PRIu64 "\n", r->connections);
	printf("latency us    %12.1f p50  %.1f p90  %.1f p99  %.1f p99.9  %.1f max\n",
	       (double)load_quantile(r, 0.5) / 1e3, (double)load_quantile(r, 0.9) / 1e3,
	       (double)load_quantile(r, 0.99) / 1e3, (double)load_quantile(r, 0.999) / 1e3,
	       (double)r->ns_max / 1e3);
	if (r->failures)
		printf("failed        %s\n", r->error);
}

static int fetch(struct args *a)
{
	static struct load_result result;
	uint8_t *body = malloc(a->o.size + 8);
	int rc;

	if (!body) {
		fprintf(stderr, "opes-http-check: no memory for an object of %" PRIu64 " octets\n",
			a->o.size);
		return -ENOMEM;
	}
	pattern_fill(a->seed, 0, body, a->o.size);
	a->o.body = body;
	rc = load_run(&a->o, &result);
	if (rc && rc != -EBADMSG)
		fprintf(stderr, "opes-http-check: %s\n", strerror(-rc));
	else if (a->json)
		print_json(&result);
	else
		print_text(&result);
	free(body);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {.seed = 1, .o = {.path = "/", .connections = 32, .seconds = 2}};
	int rc = parse(&a, argc, argv);

	if (rc > 0) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (rc < 0) {
		fputs("opes-http-check --help tells the options\n", stderr);
		return 2;
	}
	if (!a.make)
		return fetch(&a) ? 1 : 0;
	rc = pattern_write(a.make, a.seed, a.o.size);
	if (rc)
		fprintf(stderr, "opes-http-check: cannot write %s: %s\n", a.make, strerror(-rc));
	return rc ? 1 : 0;
}
