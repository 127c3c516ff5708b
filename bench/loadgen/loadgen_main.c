/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opes-loadgen: closed-loop TCP and HTTP load over two ports. Exit codes: 0 all right; 1 something was wrong with the
 * load, or the run could not begin; 2 wrong command line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include "loadgen_report.h"
#include "loadgen_run.h"

static void on_signal(int number)
{
	lg_run_stop();
}

static int eal_start(const struct lg_config *cfg)
{
	char *argv[LG_EAL_ARGS], buf[2048];
	int n = lg_config_eal(cfg, argv, buf, sizeof(buf));

	if (n < 0) {
		fputs("opes-loadgen: too many arguments for DPDK\n", stderr);
		return n;
	}
	if (rte_eal_init(n, argv) < 0) {
		fprintf(stderr, "opes-loadgen: DPDK does not start: %s (see its lines above; --no-huge runs without hugepages)\n",
			rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

static int run(const struct lg_config *cfg, struct lg_run *r)
{
	char err[512] = "", note[256];
	int rc = lg_run_init(r, cfg, err, sizeof(err));
	bool ok;

	if (rc) {
		fprintf(stderr, "opes-loadgen: %s\n", err);
		return 1;
	}
	rc = lg_run(r, err, sizeof(err));
	if (rc) {
		fprintf(stderr, "opes-loadgen: %s\n", err);
		lg_run_free(r);
		return 1;
	}
	ok = lg_result_ok(cfg, &r->result, note, sizeof(note));
	lg_report_text(cfg, &r->result, ok, note, stdout);
	if (cfg->json && (rc = lg_report_json(cfg, &r->result, ok, note)) != 0) {
		fprintf(stderr, "opes-loadgen: %s: %s\n", cfg->json, strerror(-rc));
		ok = false;
	}
	lg_run_free(r);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	static struct lg_config cfg;
	struct lg_run *r;
	char err[512];
	int rc = lg_config_parse(&cfg, argc, argv, err, sizeof(err));

	if (rc > 0)
		return 0;
	if (rc < 0) {
		fprintf(stderr, "opes-loadgen: %s\n", err);
		return 2;
	}
	if (eal_start(&cfg) != 0)
		return 1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r = malloc(sizeof(*r));
	rc = 1;
	if (r)
		rc = run(&cfg, r);
	else
		fputs("opes-loadgen: no memory\n", stderr);
	free(r);
	rte_eal_cleanup();
	return rc;
}
