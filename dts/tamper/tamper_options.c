/* SPDX-License-Identifier: BSD-3-Clause */
#include "tamper/tamper_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tamper/tamper_frame.h"

#define MS	     1000000ull
#define WAIT_DEFAULT (10 * MS)
#define WORDS_MAX    256

const char tamper_options_help[] =
	"usage: opes-tamper [OPTION ...] FIRST SECOND\n"
	"\n"
	"Is a cable between two network interfaces and makes it worse. Frames are taken from each (promiscuous, with their VLAN\n"
	"tags) and sent on the other. The ends' offloads must be off (ethtool -K DEV tx off tso off gso off gro off): a frame\n"
	"whose checksum was left to hardware is passed on as it is and counted.\n"
	"\n"
	"  --loss CHANCE             CHANCE: 1% or 0.01, decided for each packet by the seed and its number\n"
	"  --dup CHANCE[:TIME]       a copy right behind, or up to TIME later\n"
	"  --reorder CHANCE:N[-M][:TIME]\n"
	"                            displaced by N (to M) packets, 1 to 32; if so many do not come within TIME (10ms), then\n"
	"  --reorder CHANCE:TIME     displaced by time\n"
	"  --corrupt CHANCE[:PLACE]  one octet: any (of an IP packet), ip, tcp (headers), payload, mixed (these three in turn by\n"
	"                            chance), ethernet, or a number (octet of the frame). Checksums stay as they were\n"
	"  --delay TIME[:JITTER]     TIME, and up to JITTER more; order is kept. TIME: 10ms, 250us, 1.5s\n"
	"  --rate BITS[:OCTETS]      bits a second (k, M, G), with a queue of so many octets before it\n"
	"  --nth FAULT:N[+EVERY]     loss, dup, reorder or corrupt for packet N (from 1), and each EVERY packets after it\n"
	"  --seed N                  1 if not given\n"
	"  --held-max N              packets in the cable (100000); more are lost and counted as overrun\n"
	"  --there, --back, --both   what follows is for frames from FIRST to SECOND, the other way, or both (from the start)\n"
	"  --control PATH            a Unix socket (SOCK_SEQPACKET). A message \"counters\" is answered with them, \"set OPTIONS\"\n"
	"                            replaces all settings and counts packets anew; answered with \"ok\" or \"error: ...\"\n"
	"  --help\n"
	"\n"
	"It prints \"opes-tamper: ready\" when frames pass, and its counters as a line of JSON on SIGUSR1 and at its end (SIGTERM,\n"
	"SIGINT). Exit code 0 after such an end, 1 when an interface cannot be had, 2 for wrong options.\n";

static const char *const fault_names[TAMPER_FAULTS] = {"loss", "dup", "reorder", "corrupt"};

/* A number and the text behind it; false without a number or for a negative one. */
static bool number(const char *s, double *value, char **rest)
{
	*value = strtod(s, rest);
	return *rest != s && *value >= 0 && *value < 1e15;
}

/* The first field of "a:b:c" up to the colon; *s moves behind it, NULL at the end. */
static bool field(char **s, char *out, size_t size)
{
	size_t n = *s ? strcspn(*s, ":") : 0;

	if (!*s || n >= size)
		return false;
	memcpy(out, *s, n);
	out[n] = 0;
	*s = (*s)[n] ? *s + n + 1 : NULL;
	return true;
}

static bool read_chance(const char *s, uint32_t *chance)
{
	double v;
	char *end;

	if (!number(s, &v, &end))
		return false;
	if (!strcmp(end, "%"))
		v /= 100;
	else if (*end)
		return false;
	*chance = (uint32_t)(v * TAMPER_SCALE + 0.5);
	return v <= 1;
}

static bool read_time(const char *s, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	unsigned i;
	double v;
	char *end;

	if (!number(s, &v, &end))
		return false;
	for (i = 0; i < 4; i++)
		if (!strcmp(end, units[i].unit) && v * units[i].ns <= 3600e9) {
			*ns = (uint64_t)(v * units[i].ns + 0.5);
			return true;
		}
	return false;
}

static bool read_size(const char *s, uint64_t *value)
{
	static const char suffix[] = "kMG";
	double v, f = 1;
	const char *k;
	char *end;

	if (!number(s, &v, &end))
		return false;
	if (*end && (k = strchr(suffix, *end)) && !end[1])
		for (f = 1000; k > suffix; k--)
			f *= 1000;
	else if (*end)
		return false;
	*value = (uint64_t)(v * f);
	return true;
}

static bool read_whole(const char *s, uint64_t max, uint64_t *value)
{
	char *end;

	*value = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && *value <= max;
}

static bool set_loss(struct tamper_conf *c, char *v)
{
	return read_chance(v, &c->chance[TAMPER_LOSS]);
}

static bool set_dup(struct tamper_conf *c, char *v)
{
	char part[64];

	c->dup_ns = 0;
	return field(&v, part, sizeof(part)) && read_chance(part, &c->chance[TAMPER_DUP]) && (!v || read_time(v, &c->dup_ns));
}

static bool set_reorder(struct tamper_conf *c, char *v)
{
	uint64_t from, to;
	char part[64], *dash;

	c->reorder_ns = WAIT_DEFAULT;
	c->displace_min = c->displace_max = 0;
	if (!field(&v, part, sizeof(part)) || !read_chance(part, &c->chance[TAMPER_REORDER]) || !field(&v, part, sizeof(part)))
		return false;
	if (!v && read_time(part, &c->reorder_ns))
		return true;
	dash = strchr(part, '-');
	if (dash)
		*dash++ = 0;
	if (!read_whole(part, TAMPER_DISPLACE_MAX, &from) || !read_whole(dash ? dash : part, TAMPER_DISPLACE_MAX, &to) || !from)
		return false;
	c->displace_min = (uint32_t)from;
	c->displace_max = (uint32_t)to;
	return !v || read_time(v, &c->reorder_ns);
}

static bool set_corrupt(struct tamper_conf *c, char *v)
{
	static const char *const names[] = {"any", "ip", "tcp", "payload", "mixed", "ethernet"};
	char part[64];
	uint64_t octet;
	uint32_t i;

	c->place = TAMPER_ANY;
	if (!field(&v, part, sizeof(part)) || !read_chance(part, &c->chance[TAMPER_CORRUPT]))
		return false;
	if (!v)
		return true;
	for (i = 0; i <= TAMPER_ETHERNET; i++)
		if (!strcmp(v, names[i])) {
			c->place = i;
			return true;
		}
	if (!read_whole(v, 65535, &octet))
		return false;
	c->place = TAMPER_OCTET + (uint32_t)octet;
	return true;
}

static bool set_delay(struct tamper_conf *c, char *v)
{
	char part[64];

	c->jitter_ns = 0;
	return field(&v, part, sizeof(part)) && read_time(part, &c->delay_ns) && (!v || read_time(v, &c->jitter_ns));
}

static bool set_rate(struct tamper_conf *c, char *v)
{
	char part[64];

	c->queue = 0;
	if (!field(&v, part, sizeof(part)) || !read_size(part, &c->rate) || (v && !read_size(v, &c->queue)))
		return false;
	c->rate /= 8;
	return c->rate > 0;
}

static bool set_nth(struct tamper_conf *c, char *v)
{
	struct tamper_nth *k = &c->nth[c->nths];
	char part[64], *plus;
	uint32_t i;

	if (c->nths == TAMPER_NTH_MAX || !field(&v, part, sizeof(part)) || !v)
		return false;
	for (i = 0; i < TAMPER_FAULTS && strcmp(part, fault_names[i]); i++)
		;
	if (i == TAMPER_FAULTS)
		return false;
	*k = (struct tamper_nth){.fault = (enum tamper_fault)i};
	if ((plus = strchr(v, '+')))
		*plus = 0;
	if (!read_whole(v, UINT64_MAX - 1, &k->first) || !k->first || (plus && !read_whole(plus + 1, UINT64_MAX - 1, &k->every)))
		return false;
	c->nths++;
	return true;
}

static bool set_seed(struct tamper_conf *c, char *v)
{
	return read_whole(v, UINT64_MAX - 1, &c->seed);
}

static bool set_held_max(struct tamper_conf *c, char *v)
{
	uint64_t n;

	if (!read_whole(v, 10000000, &n) || n < 2)
		return false;
	c->held_max = (uint32_t)n;
	return true;
}

static const struct option_row {
	const char *name;
	bool (*set)(struct tamper_conf *, char *value);
	const char *wants;
} rows[] = {
	{"--loss", set_loss, "a chance such as 1% or 0.01"},
	{"--dup", set_dup, "CHANCE or CHANCE:TIME, such as 1% or 1%:5ms"},
	{"--reorder", set_reorder, "CHANCE:N, CHANCE:N-M (1 to 32 packets) or CHANCE:TIME, such as 5%:8"},
	{"--corrupt", set_corrupt, "CHANCE or CHANCE:PLACE, PLACE any, ip, tcp, payload, mixed, ethernet or a number"},
	{"--delay", set_delay, "TIME or TIME:JITTER, such as 20ms or 20ms:500us"},
	{"--rate", set_rate, "bits a second such as 100M, or 100M:OCTETS with a queue"},
	{"--nth", set_nth, "FAULT:N or FAULT:N+EVERY (16 of them), FAULT loss, dup, reorder or corrupt"},
	{"--seed", set_seed, "a whole number"},
	{"--held-max", set_held_max, "a number of packets, 2 to 10000000"},
};

/* One setting into the directions it is for (a bit each). */
static int apply(struct tamper_options *o, unsigned ways, const struct option_row *r, const char *value, char *error)
{
	char copy[256];
	unsigned i;

	for (i = 0; i < 2; i++) {
		snprintf(copy, sizeof(copy), "%s", value);
		if ((ways & 1u << i) && (strlen(value) >= sizeof(copy) || !r->set(&o->conf[i], copy))) {
			snprintf(error, TAMPER_ERROR_MAX, "%s: \"%.40s\" is not %s", r->name, value, r->wants);
			return -1;
		}
	}
	return 0;
}

/* Words that are not settings. 1 when it was one, -1 when it is wrong. */
static int other_word(struct tamper_options *o, const char *w, unsigned *ways, char *error)
{
	if (!strcmp(w, "--there") || !strcmp(w, "--back") || !strcmp(w, "--both")) {
		*ways = w[2] == 't' ? 1 : w[3] == 'a' ? 2 : 3;
		return 1;
	}
	if (!strcmp(w, "--help")) {
		o->help = true;
		return 1;
	}
	if (*w == '-')
		return 0;
	if (o->device[1]) {
		snprintf(error, TAMPER_ERROR_MAX, "\"%.40s\": a third interface", w);
		return -1;
	}
	o->device[o->device[0] != NULL] = w;
	return 1;
}

static int valued_word(struct tamper_options *o, unsigned ways, char *name, char *value, char *error)
{
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(name, rows[i].name)) {
			if (value)
				return apply(o, ways, &rows[i], value, error);
			snprintf(error, TAMPER_ERROR_MAX, "%s wants %s", name, rows[i].wants);
			return -1;
		}
	if (!strcmp(name, "--control") && value) {
		o->control = value;
		return 0;
	}
	snprintf(error, TAMPER_ERROR_MAX, "\"%.40s\": %s", name, strcmp(name, "--control") ? "no such option" : "a path is missing");
	return -1;
}

int tamper_options_read(struct tamper_options *o, int n, char **word, char error[TAMPER_ERROR_MAX])
{
	unsigned ways = 3, i;
	const char *why;
	int k, done;

	memset(o, 0, sizeof(*o));
	for (i = 0; i < 2; i++)
		o->conf[i] = (struct tamper_conf){.seed = 1, .held_max = 100000};
	for (k = 0; k < n; k++) {
		char *equals = word[k][0] == '-' ? strchr(word[k], '=') : NULL, *value = equals ? equals + 1 : NULL;

		done = other_word(o, word[k], &ways, error);
		if (done < 0)
			return -1;
		if (done)
			continue;
		if (equals)
			*equals = 0;
		else if (k + 1 < n)
			value = word[k + 1];
		if (valued_word(o, ways, word[k], value, error))
			return -1;
		k += !equals;
	}
	/* What one direction loses must not tell what the other one loses. */
	o->conf[1].seed = ~o->conf[1].seed;
	for (i = 0; i < 2; i++)
		if ((why = tamper_conf_error(&o->conf[i]))) {
			snprintf(error, TAMPER_ERROR_MAX, "%s", why);
			return -1;
		}
	return 0;
}

int tamper_options_line(struct tamper_options *o, char *line, char error[TAMPER_ERROR_MAX])
{
	char *word[WORDS_MAX], *save, *w;
	int n = 0;

	for (w = strtok_r(line, " \t\n", &save); w && n < WORDS_MAX; w = strtok_r(NULL, " \t\n", &save))
		word[n++] = w;
	if (w) {
		snprintf(error, TAMPER_ERROR_MAX, "too many words");
		return -1;
	}
	if (tamper_options_read(o, n, word, error))
		return -1;
	if (o->device[0] || o->control || o->help) {
		snprintf(error, TAMPER_ERROR_MAX, "interfaces, --control and --help are for the command line");
		return -1;
	}
	return 0;
}
