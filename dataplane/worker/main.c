/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opes-dataplane: start in the order that leaves nothing half-started, duties of the main thread,
 * stop.
 *
 * Every failure is one line on stderr and exit code 1 (2: wrong command line). Everything that can
 * be found wrong without DPDK is found before it starts.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_version.h>

#include "ctl/ctl_rules.h"
#include "ctl/ctl_shm.h"
#include "worker/worker.h"
#include "worker/worker_eal.h"

#define CONFIG_DEFAULT "/etc/opes/opes.yaml"
#define TICK_NS 10000000 /* duties of the main thread */
#define PORT_STATS_TICKS 10

struct options {
	const char *file;
	bool verbose, check;
	int nextra;
	char **extra; /* arguments for DPDK */
};

struct program {
	struct options opt;
	struct policy_config *cfg;
	struct policy_image *first;
	struct port_device device[2];
	struct worker_eal_args eal;
	struct port_pair ports;
	struct shm_root *shm;
	struct ctl_rules_main rules;
	struct worker_clock clock;
	struct worker_callout callout;
	struct worker *worker;
	unsigned workers_made;
	_Atomic bool quit;
	struct worker_eal_log log; /* while DPDK and the ports start */
	bool eal_tried, eal_up;
	char err[512];
};

static void say(const struct program *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(const struct program *p, const char *fmt, ...)
{
	va_list ap;
	int fd = p->log.err_fd >= 0 ? p->log.err_fd : STDERR_FILENO;
	char line[1024];

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	dprintf(fd, "opes-dataplane: %s\n", line);
}

static void usage(FILE *f)
{
	fputs("Usage: opes-dataplane [-c FILE] [-v] [-- DPDK-ARGUMENTS]\n"
	      "       opes-dataplane --check [-c FILE]\n"
	      "Forwards between two ports and adapts selected traffic through callout servers.\n\n"
	      "  -c, --config FILE  configuration (default " CONFIG_DEFAULT ")\n"
	      "      --check        check the configuration and exit\n"
	      "  -v, --verbose      show the messages of DPDK on stderr\n"
	      "  -V, --version      print versions and exit\n"
	      "  -h, --help         print this and exit\n",
	      f);
}

/* 0: go on; otherwise exit code + 1. */
static int options_read(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'C'},
		{"verbose", no_argument, NULL, 'v'},	  {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},	  {0},
	};
	int c;

	o->file = CONFIG_DEFAULT;
	while ((c = getopt_long(argc, argv, "+c:vVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 'C':
			o->check = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'V':
			printf("opes-dataplane %s (%s)\n", OPES_VERSION, rte_version());
			return 1;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	}
	if (optind < argc && strcmp(argv[optind - 1], "--") != 0) {
		fprintf(stderr,
			"opes-dataplane: unexpected argument \"%s\" (arguments for DPDK come after "
			"--)\n",
			argv[optind]);
		return 3;
	}
	o->nextra = argc - optind;
	o->extra = argv + optind;
	return 0;
}

static void errors_print(const struct policy_errors *e)
{
	uint32_t n = e->count < POLICY_ERRORS_MAX ? e->count : POLICY_ERRORS_MAX;

	for (uint32_t i = 0; i < n; i++) {
		if (e->e[i].line)
			fprintf(stderr, "%s:%u:%u: %s\n", e->e[i].file, e->e[i].line,
				e->e[i].column, e->e[i].text);
		else
			fprintf(stderr, "%s: %s\n", e->e[i].file, e->e[i].text);
	}
	if (e->count > n)
		fprintf(stderr, "and %u more\n", e->count - n);
}

static int config_load(struct program *p)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	int rc;

	if (!errs)
		return -ENOMEM;
	rc = policy_config_read(p->opt.file, &p->cfg, errs);
	if (rc == 0)
		rc = policy_compile(p->cfg, 1, &p->first, errs);
	if (rc) {
		errors_print(errs);
		if (!errs->count)
			say(p, "cannot read %s: %s", p->opt.file, strerror(-rc));
	}
	free(errs);
	for (int i = 0; i < 2 && rc == 0; i++) {
		const struct policy_port_config *pc = &p->cfg->port[i];

		rc = port_device_parse(&p->device[i], pc->device, pc->mtu, p->err, sizeof(p->err));
		if (rc)
			say(p, "%s: port %s: %s", p->opt.file, pc->name, p->err);
	}
	if (rc == 0 && strcmp(p->device[0].name, p->device[1].name) == 0) {
		say(p, "%s: both ports are the device %s", p->opt.file, p->device[0].name);
		rc = -EINVAL;
	}
	if (rc == 0 && p->device[0].iface[0] &&
	    strcmp(p->device[0].iface, p->device[1].iface) == 0) {
		say(p, "%s: both ports use the interface %s", p->opt.file, p->device[0].iface);
		rc = -EINVAL;
	}
	return rc;
}

/* Everything about the host that can be found wrong without DPDK. */
static int host_check(struct program *p)
{
	int rc = worker_eal_lcores(p->cfg, p->err, sizeof(p->err));

	for (int i = 0; i < 2 && rc == 0; i++) {
		rc = port_device_check(&p->device[i], p->err, sizeof(p->err));
		if (rc) {
			say(p, "port %s: %s", p->cfg->port[i].name, p->err);
			return rc;
		}
	}
	if (rc == 0)
		rc = worker_eal_hugepages(p->cfg, p->err, sizeof(p->err));
	if (rc == 0)
		rc = worker_eal_lock(p->cfg->file_prefix, p->err, sizeof(p->err));
	if (rc == 0)
		rc = worker_eal_wait_free(p->cfg->file_prefix, p->err, sizeof(p->err));
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = port_device_prepare(&p->device[i], p->err, sizeof(p->err));
	if (rc)
		say(p, "%s", p->err);
	return rc;
}

static void eal_failed(const struct program *p, int error)
{
	char line[256];

	if (p->log.err_fd < 0) {
		say(p, "DPDK does not start: %s", rte_strerror(error));
		return;
	}
	fflush(stderr);
	worker_eal_log_last(&p->log, line, sizeof(line));
	say(p, "DPDK does not start: %s%s%s (all it said: %s)", rte_strerror(error),
	    line[0] ? ": " : "", line, p->log.path);
}

static int eal_start(struct program *p)
{
	char *argv[WORKER_EAL_ARGS_MAX + 1];

	if (worker_eal_args(&p->eal, p->cfg, p->device, p->opt.nextra, p->opt.extra, p->opt.verbose,
			    p->err, sizeof(p->err)) != 0) {
		say(p, "%s", p->err);
		return -EINVAL;
	}
	if (!p->opt.verbose)
		worker_eal_log_begin(&p->log, p->cfg->file_prefix);
	/* EAL permutes the array it is given. */
	memcpy(argv, p->eal.argv, sizeof(argv));
	p->eal_tried = true;
	if (rte_eal_init(p->eal.argc, argv) < 0) {
		eal_failed(p, rte_errno);
		return -EIO;
	}
	p->eal_up = true;
	return 0;
}

static int ports_start(struct program *p)
{
	struct port_pair_config pc = {.workers = p->cfg->workers, .mbufs = p->cfg->limits.mbufs};
	int rc;

	for (int i = 0; i < 2; i++) {
		pc.port[i].name = p->cfg->port[i].name;
		pc.port[i].key = p->cfg->port[i].device;
		pc.port[i].device = &p->device[i];
		pc.port[i].mtu = p->cfg->port[i].mtu;
		pc.port[i].promiscuous = p->cfg->port[i].promiscuous;
		pc.port[i].no_segmentation = p->cfg->port[i].segmentation_offload == POLICY_OFFLOAD_OFF;
	}
	rc = port_pair_open(&p->ports, &pc, p->err, sizeof(p->err));
	if (rc) {
		say(p, "%s", p->err);
		return rc;
	}
	for (int i = 0; i < 2; i++)
		snprintf(p->shm->port[i].driver, sizeof(p->shm->port[i].driver), "%s",
			 p->ports.port[i].driver);
	return 0;
}

static int callout_start_stage(struct program *p)
{
	struct callout_config cc = {
		.nworkers = p->cfg->workers,
		.ring_size = p->cfg->limits.callout_ring,
		.txns_max = p->cfg->limits.transactions,
		.client = p->cfg->name,
		.socket_id = SOCKET_ID_ANY,
		.bufs = p->ports.bufs,
		.shm = p->shm,
	};
	int rc = callout_lcore_create(&p->callout.lcore, &cc);

	if (rc) {
		say(p, "the callout stage does not start: %s", strerror(-rc));
		return rc;
	}
	p->callout.slot = &p->rules.callout;
	p->callout.clock = &p->clock;
	p->callout.quit = &p->quit;
	p->callout.backoff = p->cfg->idle_backoff;
	p->callout.epoll_fd = callout_lcore_fd(p->callout.lcore);
	return 0;
}

static int workers_make(struct program *p)
{
	struct worker_config wc = {
		.workers = p->cfg->workers,
		.backoff = p->cfg->idle_backoff,
		.socket_id = SOCKET_ID_ANY,
		.ports = &p->ports,
		.shm = p->shm,
		.limits = &p->cfg->limits,
		.tcp = &p->cfg->tcp,
		.clock = &p->clock,
		.quit = &p->quit,
	};

	if (getrandom(&wc.seed, sizeof(wc.seed), GRND_NONBLOCK) != sizeof(wc.seed))
		wc.seed = rte_rdtsc();
	p->worker = calloc(p->cfg->workers, sizeof(*p->worker));
	if (!p->worker) {
		say(p, "no memory");
		return -ENOMEM;
	}
	wc.peers = p->worker;
	for (unsigned i = 0; i < p->cfg->workers; i++, p->workers_made++) {
		int rc;

		wc.index = i;
		wc.slot = &p->rules.worker[i];
		wc.callout_port = callout_lcore_port(p->callout.lcore, i);
		wc.callout = p->eal.callout_lcore == UINT32_MAX && p->eal.callout_worker == i
				     ? &p->callout
				     : NULL;
		rc = worker_create(&p->worker[i], &wc, p->err, sizeof(p->err));
		if (rc) {
			say(p, "%s", p->err);
			return rc;
		}
		p->shm->worker[i].lcore = p->cfg->worker_lcore[i];
	}
	return 0;
}

static int start(struct program *p)
{
	int rc = eal_start(p);

	if (rc)
		return rc;
	worker_clock_init(&p->clock);
	rc = ctl_shm_create(&p->shm, p->cfg, rte_get_tsc_hz());
	if (rc) {
		say(p, "no hugepage memory for %zu MiB of shared state: give more hugepages",
		    (sizeof(struct shm_root) >> 20) + 1);
		return rc;
	}
	rc = ports_start(p);
	if (rc)
		return rc;
	rc = ctl_rules_init(&p->rules, p->shm, p->cfg->workers, SOCKET_ID_ANY, p->first);
	if (rc) {
		say(p, "the rules cannot be loaded: %s", strerror(-rc));
		return rc;
	}
	rc = callout_start_stage(p);
	if (rc == 0)
		rc = workers_make(p);
	return rc;
}

static int launch(struct program *p)
{
	int rc = 0;

	if (p->eal.callout_lcore != UINT32_MAX)
		rc = rte_eal_remote_launch(worker_callout_main, &p->callout, p->eal.callout_lcore);
	for (unsigned i = 0; i < p->cfg->workers && rc == 0; i++)
		rc = rte_eal_remote_launch(worker_main, &p->worker[i], i);
	if (rc)
		say(p, "a worker does not start: %s", rte_strerror(-rc));
	return rc;
}

/* Every worker has been through its loop once: frames cross. */
static bool forwarding(const struct program *p)
{
	for (unsigned i = 0; i < p->cfg->workers; i++) {
		if (atomic_load_explicit(&p->rules.worker[i].switched, memory_order_acquire) == 0)
			return false;
	}
	return true;
}

/* The main thread until a signal. */
static void duties(struct program *p, const sigset_t *signals)
{
	const struct timespec tick = {.tv_nsec = TICK_NS};
	bool ready = false;

	for (unsigned n = 0;; n++) {
		int sig = sigtimedwait(signals, NULL, &tick);

		if (sig == SIGTERM || sig == SIGINT)
			break;
		if (!ready) {
			if (!forwarding(p))
				continue;
			ready = true;
			ctl_shm_ready(p->shm);
			puts("opes-dataplane: ready");
			fflush(stdout);
		}
		ctl_shm_heartbeat(p->shm);
		ctl_rules_poll(&p->rules);
		if (n % PORT_STATS_TICKS == 0) {
			for (unsigned i = 0; i < 2; i++)
				ctl_shm_port_stats(p->shm, i, p->ports.port[i].id);
		}
	}
}

/* In the opposite order of start; everything may be half there. */
static void stop(struct program *p)
{
	atomic_store(&p->quit, true);
	if (p->eal_up)
		rte_eal_mp_wait_lcore();
	if (p->shm)
		ctl_shm_over(p->shm);
	for (unsigned i = 0; i < p->workers_made; i++)
		worker_flows_end(&p->worker[i]);
	if (p->callout.lcore)
		callout_lcore_destroy(p->callout.lcore);
	for (unsigned i = 0; i < p->workers_made; i++)
		worker_destroy(&p->worker[i]);
	free(p->worker);
	if (p->eal_up) {
		ctl_rules_fini(&p->rules);
		port_pair_close(&p->ports);
		rte_eal_cleanup();
	}
	if (p->eal_tried)
		worker_eal_hugepages_release(p->cfg->file_prefix);
	worker_eal_args_free(&p->eal);
	free(p->first);
	policy_config_free(p->cfg);
}

int main(int argc, char **argv)
{
	static struct program p;
	sigset_t signals;
	int rc;

	p.log.err_fd = p.log.out_fd = -1;
	rc = options_read(&p.opt, argc, argv);
	if (rc)
		return rc - 1;
	rc = config_load(&p);
	if (rc || p.opt.check) {
		if (rc == 0)
			printf("%s: correct\n", p.opt.file);
		free(p.first);
		policy_config_free(p.cfg);
		return rc ? 1 : 0;
	}
	/* Before any thread is made, so that only the main thread takes them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	rc = host_check(&p);
	if (rc == 0)
		rc = start(&p);
	if (rc == 0)
		rc = launch(&p);
	if (rc == 0) {
		worker_eal_log_end(&p.log);
		duties(&p, &signals);
	}
	stop(&p);
	return rc ? 1 : 0;
}
