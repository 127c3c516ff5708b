/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"Usage: opes-loadgen --client-device DEV --server-device DEV [OPTIONS]\n"
	"       opes-loadgen --loopback [OPTIONS]\n"
	"Closed-loop TCP and HTTP load from one port to another; every octet is checked.\n\n"
	"Ports\n"
	"  --client-device DEV     PCI address or virtual device with arguments, as in the appliance's configuration:\n"
	"  --server-device DEV     0000:03:00.0, net_memif0,role=client,id=0,socket=/run/x/in.sock,socket-abstract=no\n"
	"  --loopback              instead: two rings inside this process, the generator's own ceiling\n"
	"  --mtu N                 largest IP packet (1500)\n"
	"  --lcore N               processor to run on (the first allowed one)\n"
	"  --mbufs N               packet buffers (16384)\n"
	"  --memory MIB            memory taken at start; needed with --no-huge (then 256)\n"
	"  --no-huge               ordinary memory instead of hugepages\n"
	"  --eal 'ARGS'            more arguments for DPDK\n"
	"  --link-wait SECONDS     wait so long for the links (10)\n"
	"  --no-rx-checksum        do not check checksums of received segments\n"
	"  --tx-offload            let the port compute checksums where it can\n"
	"  --idle poll|yield|sleep what to do when there is nothing to do (poll)\n\n"
	"Addresses\n"
	"  --client-ip IP          first client address (10.1.0.1); IPv6 works alike\n"
	"  --clients N             number of client addresses (16)\n"
	"  --client-ports A-B      client ports (1024-65535)\n"
	"  --server-ip IP          first server address (10.2.0.1)\n"
	"  --servers N             number of server addresses (1)\n"
	"  --server-port N         (80)\n"
	"  --client-next-mac MAC   where the client side sends to; else asked for by ARP or neighbour discovery\n"
	"  --server-next-mac MAC   likewise for the server side\n"
	"  --client-gateway IP     whom the client side asks about, instead of the server's address\n"
	"  --server-gateway IP     likewise for the server side\n\n"
	"Work\n"
	"  --mode http|stream      HTTP/1.1 (default), or an opaque TCP stream\n"
	"  --post                  upload: POST with a body of --request octets\n"
	"  --request SIZE          octets of the request's body (0; with --post 1KiB)\n"
	"  --response SIZE         octets of the response's body (1KiB; with --post 0)\n"
	"  --transactions N        on each connection (1); 0: keep alive without end\n"
	"  --client-closes         the client closes first; else the server does\n"
	"  --concurrency N         connections at work at a time (64)\n"
	"  --rate R                new connections per second, at most; else as many as answers let\n"
	"  --think TIME            between a response and the next request (0; 500us, 10ms, 1s)\n"
	"  --flows-held N          open N connections with one transaction each, hold them, use each again, close\n"
	"  --hold TIME             how long to hold them (1s)\n"
	"  --duration TIME         measured time (10s)\n"
	"  --warmup TIME           before it (0)\n"
	"  --total N               end after so many transactions\n"
	"  --timeout TIME          a transaction, handshake or close that takes longer has failed (10s)\n"
	"  --seed N                of all octets and faults (1)\n\n"
	"TCP\n"
	"  --window SIZE           receive window (256KiB)\n"
	"  --cwnd SIZE             fixed congestion window; else slow start and Reno\n"
	"  --mss N                 largest segment; else what the MTU gives\n"
	"  --ack-every N           acknowledge every so many segments (2)\n"
	"  --rto-min TIME          least retransmission timeout (200ms)\n"
	"  --tamper LIST           faults on the way out, parts of a thousand: drop=N,dup=N,reorder=N,damage=N (found by\n"
	"                          checksum), corrupt=N (found only by checking octets)\n\n"
	"Output\n"
	"  --json FILE             append records\n"
	"  --name NAME             of the records; else made from the options\n"
	"  --quiet                 no progress lines\n"
	"  --help, --version\n\n"
	"Exit code: 0 all right, 1 a wrong octet, a failed or unanswered transaction, a reset; 2 wrong command line.\n";

enum option_id {
	O_CLIENT_DEV = 256, O_SERVER_DEV, O_LOOPBACK, O_MTU, O_LCORE, O_MBUFS, O_MEMORY, O_NO_HUGE,
	O_EAL, O_LINK_WAIT, O_NO_RX_CKSUM, O_TX_OFFLOAD, O_IDLE, O_CLIENT_IP, O_CLIENTS,
	O_CLIENT_PORTS, O_SERVER_IP, O_SERVERS, O_SERVER_PORT, O_CLIENT_MAC, O_SERVER_MAC,
	O_CLIENT_GW, O_SERVER_GW, O_MODE, O_POST, O_REQUEST, O_RESPONSE, O_TRANSACTIONS,
	O_CLIENT_CLOSES, O_CONCURRENCY, O_RATE, O_THINK, O_FLOWS_HELD, O_HOLD, O_DURATION, O_WARMUP,
	O_TOTAL, O_TIMEOUT, O_SEED, O_WINDOW, O_CWND, O_MSS, O_ACK_EVERY, O_RTO_MIN, O_TAMPER,
	O_JSON, O_NAME, O_QUIET, O_HELP, O_VERSION
};

static const struct option options[] = {
	{"client-device", 1, NULL, O_CLIENT_DEV}, {"server-device", 1, NULL, O_SERVER_DEV},
	{"loopback", 0, NULL, O_LOOPBACK}, {"mtu", 1, NULL, O_MTU}, {"lcore", 1, NULL, O_LCORE},
	{"mbufs", 1, NULL, O_MBUFS}, {"memory", 1, NULL, O_MEMORY}, {"no-huge", 0, NULL, O_NO_HUGE},
	{"eal", 1, NULL, O_EAL}, {"link-wait", 1, NULL, O_LINK_WAIT},
	{"no-rx-checksum", 0, NULL, O_NO_RX_CKSUM}, {"tx-offload", 0, NULL, O_TX_OFFLOAD},
	{"idle", 1, NULL, O_IDLE}, {"client-ip", 1, NULL, O_CLIENT_IP},
	{"clients", 1, NULL, O_CLIENTS}, {"client-ports", 1, NULL, O_CLIENT_PORTS},
	{"server-ip", 1, NULL, O_SERVER_IP}, {"servers", 1, NULL, O_SERVERS},
	{"server-port", 1, NULL, O_SERVER_PORT}, {"client-next-mac", 1, NULL, O_CLIENT_MAC},
	{"server-next-mac", 1, NULL, O_SERVER_MAC}, {"client-gateway", 1, NULL, O_CLIENT_GW},
	{"server-gateway", 1, NULL, O_SERVER_GW}, {"mode", 1, NULL, O_MODE},
	{"post", 0, NULL, O_POST}, {"request", 1, NULL, O_REQUEST},
	{"response", 1, NULL, O_RESPONSE}, {"transactions", 1, NULL, O_TRANSACTIONS},
	{"client-closes", 0, NULL, O_CLIENT_CLOSES}, {"concurrency", 1, NULL, O_CONCURRENCY},
	{"rate", 1, NULL, O_RATE}, {"think", 1, NULL, O_THINK},
	{"flows-held", 1, NULL, O_FLOWS_HELD}, {"hold", 1, NULL, O_HOLD},
	{"duration", 1, NULL, O_DURATION}, {"warmup", 1, NULL, O_WARMUP},
	{"total", 1, NULL, O_TOTAL}, {"timeout", 1, NULL, O_TIMEOUT}, {"seed", 1, NULL, O_SEED},
	{"window", 1, NULL, O_WINDOW}, {"cwnd", 1, NULL, O_CWND}, {"mss", 1, NULL, O_MSS},
	{"ack-every", 1, NULL, O_ACK_EVERY}, {"rto-min", 1, NULL, O_RTO_MIN},
	{"tamper", 1, NULL, O_TAMPER}, {"json", 1, NULL, O_JSON}, {"name", 1, NULL, O_NAME},
	{"quiet", 0, NULL, O_QUIET}, {"help", 0, NULL, O_HELP}, {"version", 0, NULL, O_VERSION},
	{NULL, 0, NULL, 0}};

struct reader {
	const char *name, *value; /* of the option being read */
	char *err;
	size_t err_len;
	bool bad;
};

static void bad(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void bad(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (r->bad)
		return;
	r->bad = true;
	n = r->name ? snprintf(r->err, r->err_len, "--%s%s%s: ", r->name, r->value ? " " : "",
			       r->value ? r->value : "")
		    : 0;
	if (n < 0 || (size_t)n >= r->err_len)
		return;
	va_start(ap, fmt);
	vsnprintf(r->err + n, r->err_len - (size_t)n, fmt, ap);
	va_end(ap);
}

struct unit {
	const char *name;
	double factor;
};

static const struct unit plain[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1048576},
				    {"GiB", 1073741824}, {NULL, 0}};
static const struct unit times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"", 1}, {"m", 60},
				    {NULL, 0}};

static double value(struct reader *r, const struct unit *units, double min, double max)
{
	char *end;
	double v = strtod(r->value, &end);

	if (end == r->value || !isdigit((unsigned char)r->value[0])) {
		bad(r, "not a number");
		return min;
	}
	while (units->name && strcmp(units->name, end) != 0)
		units++;
	if (!units->name) {
		bad(r, "unknown unit \"%s\"", end);
		return min;
	}
	v *= units->factor;
	if (!(v >= min && v <= max)) {
		bad(r, "must be between %.10g and %.10g%s", min, max, units >= times && units < times + 5 ? " seconds" : "");
		return min;
	}
	return v;
}

static uint32_t count(struct reader *r, double min, double max)
{
	return (uint32_t)value(r, plain, min, max);
}

static void copy(struct reader *r, char *to, size_t size)
{
	if ((size_t)snprintf(to, size, "%s", r->value) >= size)
		bad(r, "too long");
}

static bool address(struct reader *r, uint8_t ip[16], bool *v6)
{
	memset(ip, 0, 16);
	*v6 = strchr(r->value, ':') != NULL;
	if (inet_pton(*v6 ? AF_INET6 : AF_INET, r->value, ip) == 1)
		return true;
	bad(r, "not an IP address");
	return false;
}

static void mac(struct reader *r, struct lg_config *cfg, int side)
{
	cfg->have_mac[side] = true;
	if (rte_ether_unformat_addr(r->value, &cfg->mac[side]) != 0)
		bad(r, "not an Ethernet address");
}

static void ports(struct reader *r, struct lg_config *cfg)
{
	unsigned a, b;
	int n = 0;

	if (sscanf(r->value, "%u-%u%n", &a, &b, &n) != 2 || r->value[n] || a < 1 || b > 65535 ||
	    b < a) {
		bad(r, "not a range of ports like 1024-65535");
		return;
	}
	cfg->client_port = (uint16_t)a;
	cfg->client_ports = b - a + 1;
}

static void tamper(struct reader *r, struct lg_tamper *t)
{
	const char *list = r->value, *p = list;

	while (*p) {
		struct {
			const char *name;
			uint32_t *value;
		} kinds[] = {{"drop=", &t->drop}, {"dup=", &t->dup}, {"reorder=", &t->reorder},
			     {"corrupt=", &t->corrupt}, {"damage=", &t->damage}};
		unsigned k = 0;
		char *end;

		while (k < 5 && strncmp(p, kinds[k].name, strlen(kinds[k].name)) != 0)
			k++;
		if (k == 5) {
			bad(r, "unknown fault \"%s\"; known: drop dup reorder corrupt damage", p);
			return;
		}
		*kinds[k].value = (uint32_t)strtoul(p + strlen(kinds[k].name), &end, 10);
		if (*kinds[k].value > 1000 || (*end && *end != ',')) {
			bad(r, "each fault is so many parts of 1000");
			return;
		}
		p = *end ? end + 1 : end;
	}
}

static unsigned word(struct reader *r, const char *const *words)
{
	for (unsigned i = 0; words[i]; i++)
		if (strcmp(words[i], r->value) == 0)
			return i;
	bad(r, "unknown word");
	return 0;
}

static void gateway(struct reader *r, struct lg_config *cfg, int side)
{
	bool v6;

	cfg->have_gateway[side] = true;
	if (address(r, cfg->gateway[side], &v6) && v6 != cfg->v6)
		bad(r, "the addresses must all be IPv4 or all IPv6; give --client-ip first");
}

static bool port_option(struct lg_config *cfg, struct reader *r, int o)
{
	static const char *const idles[] = {"poll", "yield", "sleep", NULL};

	switch (o) {
	case O_CLIENT_DEV: copy(r, cfg->device[0], LG_TEXT); break;
	case O_SERVER_DEV: copy(r, cfg->device[1], LG_TEXT); break;
	case O_LOOPBACK: cfg->loopback = true; break;
	case O_MTU: cfg->mtu = (uint16_t)count(r, 576, 9700); break;
	case O_LCORE: cfg->lcore = count(r, 0, 127); break;
	case O_MBUFS: cfg->mbufs = count(r, 4096, 1 << 24); break;
	case O_MEMORY: cfg->memory = count(r, 16, 1 << 20); break;
	case O_NO_HUGE: cfg->no_huge = true; break;
	case O_EAL: copy(r, cfg->eal, LG_TEXT); break;
	case O_LINK_WAIT: cfg->link_wait_ms = (uint32_t)(value(r, times, 0, 3600) * 1e3); break;
	case O_NO_RX_CKSUM: cfg->rx_checksum = false; break;
	case O_TX_OFFLOAD: cfg->tx_offload = true; break;
	case O_IDLE: cfg->idle = word(r, idles); break;
	default: return false;
	}
	return true;
}

static bool address_option(struct lg_config *cfg, struct reader *r, int o, bool v6[2])
{
	switch (o) {
	case O_CLIENT_IP:
		address(r, cfg->ip[0], &v6[0]);
		cfg->v6 = v6[0];
		break;
	case O_SERVER_IP: address(r, cfg->ip[1], &v6[1]); break;
	case O_CLIENTS: cfg->ips[0] = count(r, 1, 1 << 20); break;
	case O_SERVERS: cfg->ips[1] = count(r, 1, 1 << 16); break;
	case O_CLIENT_PORTS: ports(r, cfg); break;
	case O_SERVER_PORT: cfg->server_port = (uint16_t)count(r, 1, 65535); break;
	case O_CLIENT_MAC: mac(r, cfg, 0); break;
	case O_SERVER_MAC: mac(r, cfg, 1); break;
	case O_CLIENT_GW: gateway(r, cfg, 0); break;
	case O_SERVER_GW: gateway(r, cfg, 1); break;
	default: return false;
	}
	return true;
}

static bool work_option(struct lg_config *cfg, struct reader *r, int o)
{
	static const char *const modes[] = {"http", "stream", NULL};

	switch (o) {
	case O_MODE: cfg->mode = word(r, modes); break;
	case O_POST: cfg->post = true; break;
	case O_REQUEST: cfg->request = (uint32_t)value(r, sizes, 0, LG_OBJECT_MAX); break;
	case O_RESPONSE: cfg->response = (uint32_t)value(r, sizes, 0, LG_OBJECT_MAX); break;
	case O_TRANSACTIONS: cfg->transactions = count(r, 0, 4e9); break;
	case O_CLIENT_CLOSES: cfg->client_closes = true; break;
	case O_CONCURRENCY: cfg->concurrency = count(r, 1, 16e6); break;
	case O_RATE: cfg->rate = value(r, plain, 0.01, 1e8); break;
	case O_THINK: cfg->think_us = (uint64_t)(value(r, times, 0, 3600) * 1e6); break;
	case O_FLOWS_HELD: cfg->flows_held = count(r, 1, 16e6); break;
	case O_HOLD: cfg->hold = value(r, times, 0, 1e6); break;
	case O_DURATION: cfg->duration = value(r, times, 0.01, 1e7); break;
	case O_WARMUP: cfg->warmup = value(r, times, 0, 1e6); break;
	case O_TOTAL: cfg->total = (uint64_t)value(r, plain, 1, 1e15); break;
	case O_TIMEOUT: cfg->timeout_ms = (uint64_t)(value(r, times, 0.01, 3600) * 1e3); break;
	case O_SEED: cfg->seed = (uint64_t)value(r, plain, 0, 1e15); break;
	default: return false;
	}
	return true;
}

static void other_option(struct lg_config *cfg, struct reader *r, int o)
{
	switch (o) {
	case O_WINDOW: cfg->window = (uint32_t)value(r, sizes, 2048, 1 << 30); break;
	case O_CWND: cfg->cwnd = (uint32_t)value(r, sizes, 1024, 1 << 30); break;
	case O_MSS: cfg->mss = (uint16_t)count(r, 64, 9660); break;
	case O_ACK_EVERY: cfg->ack_every = count(r, 1, 64); break;
	case O_RTO_MIN: cfg->rto_min_ms = (uint32_t)(value(r, times, 0.001, 60) * 1e3); break;
	case O_TAMPER: tamper(r, &cfg->tamper); break;
	case O_JSON: cfg->json = r->value; break;
	case O_NAME: copy(r, cfg->name, LG_TEXT); break;
	case O_QUIET: cfg->quiet = true; break;
	}
}

static void defaults(struct lg_config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->rx_checksum = true;
	cfg->lcore = UINT32_MAX;
	cfg->mbufs = 16384;
	cfg->link_wait_ms = 10000;
	cfg->mtu = 1500;
	inet_pton(AF_INET, "10.1.0.1", cfg->ip[0]);
	inet_pton(AF_INET, "10.2.0.1", cfg->ip[1]);
	cfg->ips[0] = 16;
	cfg->ips[1] = 1;
	cfg->client_port = 1024;
	cfg->client_ports = 64512;
	cfg->server_port = 80;
	cfg->request = cfg->response = UINT32_MAX;
	cfg->transactions = 1;
	cfg->concurrency = 64;
	cfg->duration = 10;
	cfg->hold = 1;
	cfg->timeout_ms = 10000;
	cfg->seed = 1;
	cfg->window = 256 << 10;
	cfg->ack_every = 2;
	cfg->rto_min_ms = 200;
}

static void check_whole(struct lg_config *cfg, struct reader *r, const bool v6[2])
{
	uint64_t tuples = lg_config_tuples(cfg);
	uint32_t conns = cfg->flows_held ? cfg->flows_held : cfg->concurrency;
	unsigned mss_max = cfg->mtu - (v6[0] ? 60u : 40u);

	r->name = NULL;
	if (v6[0] != v6[1])
		bad(r, "--client-ip and --server-ip must both be IPv4 or both IPv6");
	if (cfg->loopback == (cfg->device[0][0] && cfg->device[1][0]) ||
	    (cfg->loopback && (cfg->device[0][0] || cfg->device[1][0])))
		bad(r, "give --client-device and --server-device, or --loopback");
	if (tuples < conns || tuples > 1u << 30)
		bad(r,
		    "%u connections need as many tuples, at most 2^30: --clients times --servers times "
		    "--client-ports give %llu",
		    conns, (unsigned long long)tuples);
	if (cfg->mss > mss_max)
		bad(r, "--mss %u does not fit into an MTU of %u: at most %u", cfg->mss, cfg->mtu,
		    mss_max);
	if (cfg->mode == LG_STREAM && cfg->post)
		bad(r, "--post is for HTTP; a stream has --request and --response");
	if (cfg->request == UINT32_MAX)
		cfg->request = cfg->post ? 1024 : 0;
	if (cfg->response == UINT32_MAX)
		cfg->response = cfg->post ? 0 : 1024;
	if (cfg->mode == LG_HTTP && cfg->request && !cfg->post)
		bad(r, "a GET has no body: --request needs --post or --mode stream");
	if (cfg->flows_held)
		cfg->transactions = 2;
}

static void name_make(struct lg_config *cfg)
{
	char per[32] = "keepalive";

	if (cfg->name[0])
		return;
	if (cfg->transactions)
		snprintf(per, sizeof(per), "per-conn=%u", cfg->transactions);
	if (cfg->flows_held)
		snprintf(per, sizeof(per), "held=%u", cfg->flows_held);
	snprintf(cfg->name, sizeof(cfg->name), "%s/%s/req=%u/resp=%u/%s/c=%u%s",
		 cfg->loopback ? "loopback" : "ports",
		 cfg->mode == LG_STREAM ? "stream" : cfg->post ? "post" : "get", cfg->request,
		 cfg->response, per, cfg->concurrency, cfg->v6 ? "/ipv6" : "");
}

int lg_config_parse(struct lg_config *cfg, int argc, char **argv, char *err, size_t err_len)
{
	struct reader r = {.err = err, .err_len = err_len};
	bool v6[2] = {false, false};
	int o, index;

	defaults(cfg);
	optind = 0;
	opterr = 0;
	while (!r.bad && (o = getopt_long(argc, argv, ":", options, &index)) != -1) {
		if (o == ':' || o == '?') {
			snprintf(err, err_len, "%s %s; --help lists all",
				 o == ':' ? "no value after" : "unknown option", argv[optind - 1]);
			return -EINVAL;
		}
		r.name = options[index].name;
		r.value = optarg;
		if (o == O_HELP || o == O_VERSION) {
			fputs(o == O_HELP ? usage : "opes-loadgen " OPES_VERSION "\n", stdout);
			return 1;
		}
		if (!port_option(cfg, &r, o) && !address_option(cfg, &r, o, v6) &&
		    !work_option(cfg, &r, o))
			other_option(cfg, &r, o);
	}
	if (!r.bad && optind < argc) {
		snprintf(err, err_len, "unexpected \"%s\"; --help lists the options", argv[optind]);
		return -EINVAL;
	}
	if (!r.bad)
		check_whole(cfg, &r, v6);
	name_make(cfg);
	return r.bad ? -EINVAL : 0;
}

void lg_config_device_name(const char *device, char *name, size_t len)
{
	unsigned bus, slot, function;
	int n = 0;

	snprintf(name, len, "%.*s", (int)strcspn(device, ","), device);
	/* DPDK names a PCI device by its whole address. */
	if (sscanf(name, "%2x:%2x.%1x%n", &bus, &slot, &function, &n) == 3 && name[n] == '\0')
		snprintf(name, len, "0000:%02x:%02x.%x", bus, slot, function);
}

struct args {
	char **argv, *buf;
	size_t left;
	int n;
};

static void arg(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void arg(struct args *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->buf, a->left, fmt, ap);
	va_end(ap);
	if (a->n >= LG_EAL_ARGS - 1 || n < 0 || (size_t)n >= a->left) {
		a->n = LG_EAL_ARGS;
		return;
	}
	a->argv[a->n++] = a->buf;
	a->buf += n + 1;
	a->left -= (size_t)n + 1;
}

/* The first one this process may run on. */
static uint32_t first_processor(void)
{
	cpu_set_t set;
	uint32_t i = 0;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	while (i < CPU_SETSIZE - 1 && !CPU_ISSET(i, &set))
		i++;
	return i;
}

int lg_config_eal(const struct lg_config *cfg, char **argv, char *buf, size_t buf_len)
{
	struct args a = {argv, buf, buf_len, 0};
	bool pci = false;

	arg(&a, "opes-loadgen");
	arg(&a, "%s", cfg->no_huge ? "--no-shconf" : "--in-memory");
	arg(&a, "--no-telemetry");
	arg(&a, "--log-level=lib.eal:warning");
	arg(&a, "-l");
	arg(&a, "%u", cfg->lcore != UINT32_MAX ? cfg->lcore : first_processor());
	if (cfg->no_huge)
		arg(&a, "--no-huge");
	else if (strstr(cfg->device[0], "zero-copy=yes") || strstr(cfg->device[1], "zero-copy=yes"))
		arg(&a, "--single-file-segments");
	if (cfg->no_huge || cfg->memory) {
		arg(&a, "-m");
		arg(&a, "%u", cfg->memory ? cfg->memory : 256);
	}
	for (int i = 0; i < 2 && !cfg->loopback; i++) {
		bool vdev = strncmp(cfg->device[i], "net_", 4) == 0;

		pci |= !vdev;
		arg(&a, "%s", vdev ? "--vdev" : "-a");
		arg(&a, "%s", cfg->device[i]);
	}
	if (!pci)
		arg(&a, "--no-pci");
	for (const char *p = cfg->eal; *p;) {
		size_t n = strcspn(p, " ");

		if (n)
			arg(&a, "%.*s", (int)n, p);
		p += n + (p[n] == ' ');
	}
	if (a.n >= LG_EAL_ARGS)
		return -EINVAL;
	argv[a.n] = NULL;
	return a.n;
}
