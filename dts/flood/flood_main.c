/* SPDX-License-Identifier: BSD-3-Clause */
#include "flood.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: opes-flood -i DEVICE -e MAC -d ADDRESS:PORT [-s ADDRESS:PORT] -m MODE [option...]\n"
	"\n"
	"Sends what an attacker would, out of DEVICE to the host with this Ethernet address, for tests.\n"
	"\n"
	"  -m syn | ack | rst              to -d from random addresses and ports, -n of them\n"
	"  -m syn-live | rst-live          into the connection -s to -d, with random sequence numbers\n"
	"  -m garbage                      into the same, whose numbers are overheard\n"
	"  -m bomb | tiny | stall | conflict  -f connections from -s on, with -k segments each, held for -t seconds\n"
	"  -n COUNT   frames (1000000)     -r RATE   frames in a second, 0 for no limit (0)\n"
	"  -f FLOWS   (1000)               -k COUNT  (60)      -t SECONDS (2)      -x SEED (1)\n";

static int endpoint(const char *text, uint32_t *addr, uint16_t *port)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	struct in_addr a;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -1;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &a) != 1)
		return -1;
	*addr = ntohl(a.s_addr);
	*port = (uint16_t)atoi(colon + 1);
	return 0;
}

static int options(struct flood_conf *c, int argc, char **argv)
{
	unsigned m[6];
	int o, bad = 0;

	while ((o = getopt(argc, argv, "i:e:d:s:m:n:r:f:k:t:x:")) != -1) {
		switch (o) {
		case 'i': c->dev = optarg; break;
		case 'e':
			bad |= sscanf(optarg, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6;
			for (unsigned k = 0; !bad && k < 6; k++)
				c->dmac[k] = (uint8_t)m[k];
			break;
		case 'd': bad |= endpoint(optarg, &c->t.dst, &c->t.dport) != 0; break;
		case 's': bad |= endpoint(optarg, &c->t.src, &c->t.sport) != 0; break;
		case 'm': c->mode = optarg; break;
		case 'n': c->count = strtoull(optarg, NULL, 10); break;
		case 'r': c->rate = strtoull(optarg, NULL, 10); break;
		case 'f': c->flows = (unsigned)atoi(optarg); break;
		case 'k': c->segments = (unsigned)atoi(optarg); break;
		case 't': c->hold = atof(optarg); break;
		case 'x': c->seed = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: return -1;
		}
	}
	return bad || !c->dev || !c->mode || !c->t.dport || optind != argc ? -1 : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct flood_conf *, struct flood_tx *);
		bool source;
	} modes[] = {
		{"syn", flood_blind, false},	 {"ack", flood_blind, false},	 {"rst", flood_blind, false},
		{"syn-live", flood_blind, true}, {"rst-live", flood_blind, true}, {"garbage", flood_live, true},
		{"bomb", flood_flows, true},	 {"tiny", flood_flows, true},	 {"conflict", flood_flows, true},
		{"stall", flood_flows, true},
	};
	struct flood_conf c = {.count = 1000000, .flows = 1000, .segments = 60, .hold = 2, .seed = 1};
	static struct flood_tx x;
	int rc;

	if (options(&c, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, c.mode) != 0)
			continue;
		if (modes[i].source && !c.t.sport)
			break;
		rc = flood_tx_open(&x, &c);
		if (rc) {
			fprintf(stderr, "opes-flood: %s: %s\n", c.dev, strerror(-rc));
			return 1;
		}
		return modes[i].run(&c, &x);
	}
	fputs(usage, stderr);
	return 2;
}
