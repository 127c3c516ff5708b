/* SPDX-License-Identifier: BSD-3-Clause */
/* opesctl: start and options. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static volatile int interrupted;

static void interrupt(int sig)
{
	interrupted = 1;
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: opesctl [-s SOCKET] [--json] [COMMAND]\n"
		"  -s, --socket SOCKET  control socket (else $OPES_SOCKET, else %s)\n"
		"  -j, --json           print the answer as a JSON object\n"
		"  -V, --version        print the version\n"
		"Without a command: interactive.\n\n",
		COMMAND_DEFAULT_SOCKET);
	cli_render_help(out, false);
}

/* -1: go on; else the exit code. Takes --json after the command too, where fingers put it. */
static int options_parse(int *argc, char **argv, struct cli *cli, const char **socket_path)
{
	static const struct option longs[] = {{"socket", required_argument, NULL, 's'},
					      {"json", no_argument, NULL, 'j'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int ch, n;

	/* '+': stops at the command, whose options are its own */
	while ((ch = getopt_long(*argc, argv, "+s:jVh", longs, NULL)) != -1) {
		switch (ch) {
		case 's':
			*socket_path = optarg;
			break;
		case 'j':
			cli->json = true;
			break;
		case 'V':
			printf("opesctl %s\n", OPES_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	n = optind;
	for (int i = optind; i < *argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			cli->json = true;
		else
			argv[n++] = argv[i];
	}
	*argc = n;
	return -1;
}

int main(int argc, char **argv)
{
	/* SA_RESTART is left out: a waiting question has to come back */
	struct sigaction sa = {.sa_handler = interrupt};
	const char *path = getenv("OPES_SOCKET");
	struct cli cli = {.interrupted = &interrupted};
	int r;

	if (!path || !*path)
		path = COMMAND_DEFAULT_SOCKET;
	r = options_parse(&argc, argv, &cli, &path);
	if (r >= 0)
		return r;
	cli_client_init(&cli.client, path);
	if (optind == argc) {
		sigaction(SIGINT, &sa, NULL);
		r = cli_shell(&cli);
	} else {
		r = cli_run(&cli, argc - optind, argv + optind);
	}
	cli_client_close(&cli.client);
	return r;
}
