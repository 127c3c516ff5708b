/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-bench-path: command line, DPDK, one mode after the other. */
#include "path.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <rte_eal.h>
#include <rte_errno.h>

static const struct path_options defaults = {
	.rules = -1, .syn = 16, .train = 4, .burst = PORT_BURST, .reps = 5, .seconds = 0.5, .bufs = 65535,
	.huge = true, .core = -1,
};

static void usage(FILE *f)
{
	fputs("Usage: opes-bench-path [options]\n"
	      "Cycles of the worker loop for each packet, segment and octet: the real worker between two ports of rings,\n"
	      "stepped in turn with its traffic on one core. Every octet that leaves is verified.\n\n"
	      "  -m, --mode MODE       bypass, pass-through, large, connections, as-is, echo, second-worker\n"
	      "                        (default: all)\n"
	      "      --frame N         bypass: octets of a frame with FCS: 64, 128, 512, 1500 (default: all)\n"
	      "      --rules N         bypass: rules that select other traffic (default: 0 and 10000)\n"
	      "      --flows N         bypass: 1, 1000, 1000000; pass-through: 1, 64, 8000 (default: all)\n"
	      "      --syn N           bypass: one of N frames of the clients is a SYN, 0 none (16)\n"
	      "      --train N         segments of one flow in a row (4)\n"
	      "      --cksum WHO       software, offload: who checks and fills in checksums (default: both where it counts)\n"
	      "      --object N        as-is, echo: only responses of N octets: 1024, 65536, 1048576 (default: all, and streams)\n"
	      "      --server ADDRESS  as-is, echo: a callout server that runs (opes-callout on another core) instead of one\n"
	      "                        in turn with the worker: unix:/path or tcp:HOST:PORT\n"
	      "      --burst N         frames offered to a port before each round, at most 32 are taken (32)\n"
	      "      --reps N          repetitions, each gives a sample (5)\n"
	      "      --seconds S       of each repetition (0.5)\n"
	      "      --bufs N          packet buffers (65535)\n"
	      "      --core N          processor (the present one)\n"
	      "      --no-huge         ordinary memory instead of hugepages: costs more TLB misses than the appliance has\n"
	      "  -q, --quick           3 repetitions of 0.1 s\n"
	      "      --check           a moment of everything, for its correctness; the figures mean nothing\n"
	      "      --json FILE       append records\n"
	      "  -h, --help\n\n"
	      "Exit code 1: something was lost or wrong. Where the cycles go: see bench/path/README.md.\n",
	      f);
}

enum { OPT_FRAME = 256, OPT_RULES, OPT_FLOWS, OPT_SYN, OPT_TRAIN, OPT_CKSUM, OPT_BURST, OPT_REPS, OPT_SECONDS,
       OPT_BUFS, OPT_SERVER, OPT_OBJECT, OPT_CORE, OPT_NO_HUGE, OPT_CHECK, OPT_JSON };

static const struct option longs[] = {
	{"mode", required_argument, NULL, 'm'},	       {"frame", required_argument, NULL, OPT_FRAME},
	{"rules", required_argument, NULL, OPT_RULES}, {"flows", required_argument, NULL, OPT_FLOWS},
	{"syn", required_argument, NULL, OPT_SYN},     {"train", required_argument, NULL, OPT_TRAIN},
	{"cksum", required_argument, NULL, OPT_CKSUM}, {"burst", required_argument, NULL, OPT_BURST},
	{"reps", required_argument, NULL, OPT_REPS},   {"seconds", required_argument, NULL, OPT_SECONDS},
	{"bufs", required_argument, NULL, OPT_BUFS},   {"core", required_argument, NULL, OPT_CORE},
	{"server", required_argument, NULL, OPT_SERVER},
	{"object", required_argument, NULL, OPT_OBJECT},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},   {"check", no_argument, NULL, OPT_CHECK},
	{"json", required_argument, NULL, OPT_JSON},   {"quick", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},	       {0}};

static long number(const char *text, long least, long most)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (*text == '\0' || *end || errno || v < least || v > most) {
		fprintf(stderr, "opes-bench-path: '%s': a number from %ld to %ld is expected\n", text, least, most);
		exit(2);
	}
	return v;
}

static const char *word(const char *text, const char *const *words)
{
	for (unsigned i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return text;
	fprintf(stderr, "opes-bench-path: '%s' is not known; one of:", text);
	for (unsigned i = 0; words[i]; i++)
		fprintf(stderr, " %s", words[i]);
	fputc('\n', stderr);
	exit(2);
}

static void option(struct path_options *o, int c, const char *arg)
{
	static const char *const modes[] = {"bypass", "pass-through", "large", "connections", "as-is", "echo",
					     "second-worker", NULL};
	static const char *const cksums[] = {"software", "offload", NULL};

	switch (c) {
	case 'm': o->mode = word(arg, modes); break;
	case OPT_FRAME: o->frame = (unsigned)number(arg, 64, 1500); break;
	case OPT_RULES: o->rules = number(arg, 0, POLICY_RULES_MAX); break;
	case OPT_FLOWS: o->flows = (uint32_t)number(arg, 1, 1000000); break;
	case OPT_SYN: o->syn = (unsigned)number(arg, 0, 1000000); break;
	case OPT_TRAIN: o->train = (unsigned)number(arg, 1, 64); break;
	case OPT_CKSUM: o->cksum = word(arg, cksums); break;
	case OPT_BURST: o->burst = (unsigned)number(arg, 1, PORT_BURST); break;
	case OPT_REPS: o->reps = (unsigned)number(arg, 1, PATH_SAMPLES); break;
	case OPT_SECONDS: o->seconds = atof(arg); break;
	case OPT_BUFS: o->bufs = (uint32_t)number(arg, 4095, 1 << 22); break;
	case OPT_CORE: o->core = (int)number(arg, 0, RTE_MAX_LCORE - 1); break;
	case OPT_SERVER: o->server = arg; break;
	case OPT_OBJECT: o->object = (uint64_t)number(arg, 1, 1 << 20); break;
	case OPT_NO_HUGE: o->huge = false; break;
	case OPT_JSON: o->json = arg; break;
	case OPT_CHECK:
		o->check = true;
		o->reps = 1;
		o->seconds = 0;
		break;
	case 'q':
		o->reps = 3;
		o->seconds = 0.1;
		break;
	case 'h':
		usage(stdout);
		exit(0);
	default:
		usage(stderr);
		exit(2);
	}
}

static int eal(const struct path_options *o, const char *name)
{
	char cores[16], memory[16];
	char *argv[] = {(char *)name, (char *)"-l", cores, (char *)"--no-pci", (char *)"--no-telemetry",
			(char *)"--no-shconf", (char *)"--log-level=error",
			(char *)(o->huge ? "--in-memory" : "--no-huge"), (char *)"-m", memory};

	snprintf(cores, sizeof(cores), "%d", o->core >= 0 ? o->core : sched_getcpu());
	snprintf(memory, sizeof(memory), "%u", o->bufs / 400 + 160);
	/* In hugepages, memory is taken as it is needed. */
	return rte_eal_init(o->huge ? 8 : 10, argv);
}

bool path_wants(const struct path *p, const char *mode)
{
	return !p->opt->mode || strcmp(p->opt->mode, mode) == 0;
}

int main(int argc, char **argv)
{
	static struct path_box box;
	struct path_options o = defaults;
	struct path p = {.opt = &o, .box = &box};
	int c, rc;

	while ((c = getopt_long(argc, argv, "m:qh", longs, NULL)) != -1)
		option(&o, c, optarg);
	if (optind < argc) {
		fprintf(stderr, "opes-bench-path: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	if (eal(&o, argv[0]) < 0) {
		fprintf(stderr, "opes-bench-path: DPDK does not start: %s%s\n", rte_strerror(rte_errno),
			o.huge ? " (hugepages: see packaging/prepare.sh, or use --no-huge)" : "");
		return 1;
	}
	path_pattern_init(1);
	rc = path_box_open(&box, o.bufs);
	if (rc == 0) {
		path_record_title();
		rc = path_bypass(&p);
	}
	if (rc == 0)
		rc = path_pass(&p);
	if (rc == 0)
		rc = path_large(&p);
	if (rc == 0)
		rc = path_connect(&p);
	if (rc == 0)
		rc = path_callout(&p);
	if (rc == 0)
		rc = path_second(&p);
	if (rc)
		fprintf(stderr, "opes-bench-path: %s\n", box.err[0] ? box.err : strerror(-rc));
	path_box_close(&box);
	rte_eal_cleanup();
	return rc || p.bad;
}
