/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * block: messages that carry one of the patterns do not get through.
 *
 * As long as nothing of the message has been let through, an HTTP message is answered with a page of the service's own, a
 * mail with the reply 550.
 * Up to `hold` octets are kept back for that (preserved ones at the processor, the others here). What is
 * larger, and every stream without messages, is let through up to what may be the beginning of a match, and broken off
 * when a match is found: the end of the pattern never passes.
 */
#include "callout/services/match.h"
#include "callout/services/services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_HOLD (1u << 20)
#define BLOCK_MEMORY (256u << 20) /* octets one message may occupy here */
#define BLOCK_PAGE 2048
#define BLOCK_NAME 64

struct block_pattern {
	uint8_t *p;
	size_t len;
	char name[BLOCK_NAME]; /* for the page and the reason: printable */
};

struct block_config {
	struct match_set *set;
	struct block_pattern *patterns;
	uint32_t n;
	uint64_t hold;
	bool headers, fold, eicar;
};

struct block_state {
	struct oc_hold hold;
	uint32_t match;
	enum oc_part part;
	bool passing; /* more than `hold` octets came */
};

/* The EICAR test file's 68 octets, in pieces so that no scanner takes this file for one. */
static const char *const block_eicar[] = {"X5O!P%@AP[4", "\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-",
					  "TEST-FILE!", "$H+H*"};

static void block_unconfigure(void *config)
{
	struct block_config *c = config;

	if (!c)
		return;
	for (uint32_t i = 0; i < c->n; i++)
		free(c->patterns[i].p);
	free(c->patterns);
	match_set_free(c->set);
	free(c);
}

static int block_add(struct block_config *c, const char *name, const void *bytes, size_t len, struct oc_error *err)
{
	struct block_pattern *p;
	size_t i;

	if (!len)
		return oc_error(err, -EINVAL, "block: empty pattern");
	p = realloc(c->patterns, (c->n + 1) * sizeof(*p));
	if (!p)
		return oc_error(err, -ENOMEM, "block: out of memory");
	c->patterns = p;
	p += c->n;
	*p = (struct block_pattern){.p = malloc(len), .len = len};
	if (!p->p)
		return oc_error(err, -ENOMEM, "block: out of memory");
	c->n++;
	memcpy(p->p, bytes, len);
	for (i = 0; name[i] && i + 1 < BLOCK_NAME; i++)
		p->name[i] = name[i] >= 0x20 && name[i] < 0x7f ? name[i] : '?';
	return 0;
}

static int block_add_escaped(struct block_config *c, const char *value, struct oc_error *err)
{
	char *copy = strdup(value);
	int rc = -ENOMEM;

	if (copy) {
		size_t len = oc_unescape(copy);

		rc = block_add(c, value, copy, len, err);
	}
	free(copy);
	return rc;
}

static int block_add_file(struct block_config *c, const char *path, struct oc_error *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int rc = 0;

	if (!f)
		return oc_error(err, -errno, "block: %s: %s", path, strerror(errno));
	while (rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (len && line[0] != '#')
			rc = block_add_escaped(c, line, err);
	}
	free(line);
	fclose(f);
	return rc;
}

static int block_set_hold(struct block_config *c, const char *value, struct oc_error *err)
{
	char *end;

	if (strcmp(value, "all") == 0) {
		c->hold = UINT64_MAX;
		return 0;
	}
	c->hold = strtoull(value, &end, 10);
	if (*end == 'k' || *end == 'K')
		c->hold <<= 10, end++;
	else if (*end == 'm' || *end == 'M')
		c->hold <<= 20, end++;
	return *value >= '0' && *value <= '9' && !*end
		       ? 0
		       : oc_error(err, -EINVAL, "block: 'hold=%s': octets (K, M) or all expected", value);
}

static int block_yes_no(const struct oc_option *o, bool *flag, struct oc_error *err)
{
	*flag = strcmp(o->value, "yes") == 0;
	if (*flag || strcmp(o->value, "no") == 0)
		return 0;
	return oc_error(err, -EINVAL, "block: '%s=%s': yes or no expected", o->key, o->value);
}

static int block_option(struct block_config *c, const struct oc_option *o, struct oc_error *err)
{
	if (strcmp(o->key, "pattern") == 0)
		return block_add_escaped(c, o->value, err);
	if (strcmp(o->key, "file") == 0)
		return block_add_file(c, o->value, err);
	if (strcmp(o->key, "hold") == 0)
		return block_set_hold(c, o->value, err);
	if (strcmp(o->key, "headers") == 0)
		return block_yes_no(o, &c->headers, err);
	if (strcmp(o->key, "nocase") == 0)
		return block_yes_no(o, &c->fold, err);
	if (strcmp(o->key, "eicar") == 0)
		return block_yes_no(o, &c->eicar, err);
	return oc_error(err, -EINVAL, "block: unknown option '%s'", o->key);
}

static int block_build(struct block_config *c, struct oc_error *err)
{
	struct match_pattern *m;
	char eicar[128] = "";
	int rc = 0;

	for (size_t i = 0; i < sizeof(block_eicar) / sizeof(block_eicar[0]); i++)
		strcat(eicar, block_eicar[i]);
	if (c->eicar)
		rc = block_add(c, "EICAR test file", eicar, strlen(eicar), err);
	if (rc == 0 && !c->n)
		rc = oc_error(err, -EINVAL, "block: no pattern");
	if (rc != 0)
		return rc;
	m = calloc(c->n, sizeof(*m));
	for (uint32_t i = 0; m && i < c->n; i++)
		m[i] = (struct match_pattern){c->patterns[i].p, c->patterns[i].len};
	c->set = m ? match_set_new(m, c->n, c->fold) : NULL;
	free(m);
	return c->set ? 0 : oc_error(err, -ENOMEM, "block: the patterns need too much memory");
}

static int block_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct block_config *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return oc_error(err, -ENOMEM, "block: out of memory");
	c->hold = BLOCK_HOLD;
	c->eicar = true;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = block_option(c, &o[i], err);
	if (rc == 0)
		rc = block_build(c, err);
	if (rc != 0)
		block_unconfigure(c);
	else
		*config = c;
	return rc;
}

static void block_escape(char *to, size_t cap, const char *from)
{
	size_t n = 0;

	for (; *from && n + 8 < cap; from++) {
		const char *as = *from == '<' ? "&lt;" : *from == '>' ? "&gt;" : *from == '&' ? "&amp;"
							       : *from == '"' ? "&quot;" : NULL;

		if (as)
			n += (size_t)snprintf(to + n, cap - n, "%s", as);
		else
			to[n++] = *from;
	}
	to[n] = '\0';
}

static void block_hit(struct oc_xaction *x, const char *name)
{
	bool request = oc_message(x)->kind == OC_KIND_REQUEST;
	struct oc_answer a = {.fields = "Cache-Control: no-store\r\n"};
	char page[BLOCK_PAGE], shown[BLOCK_NAME * 6 + 8], reason[BLOCK_NAME + 16], reply[BLOCK_NAME + 64];
	int n;

	oc_count_hit(x);
	block_escape(shown, sizeof(shown), name);
	n = snprintf(page, sizeof(page),
		     "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Blocked</title></head>\n"
		     "<body>\n<h1>Blocked</h1>\n<p>The %s was stopped because it carries content that is not allowed "
		     "here.</p>\n<p>Reason: %s</p>\n</body>\n</html>\n",
		     request ? "request" : "page or file", shown);
	a.body = page;
	a.len = (size_t)n;
	snprintf(reply, sizeof(reply), "550 5.7.1 The mail carries content that is not allowed here: %s", name);
	a.smtp = reply;
	if (oc_answer(x, &a) == 0)
		return;
	snprintf(reason, sizeof(reason), "blocked: %s", name);
	oc_abort(x, reason);
}

static int block_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	struct block_state *s = state;

	/* Both ends of a stream wait for each other's octets: holding them would bring it to a stop. */
	s->passing = m->kind != OC_KIND_REQUEST && m->kind != OC_KIND_RESPONSE;
	return 0;
}

static void block_let(struct oc_xaction *x, struct block_state *s, uint64_t size)
{
	struct oc_adapted a = OC_ADAPTED_INIT;

	if (!oc_begun(x)) {
		a.sizep = oc_message(x)->sizep;
		a.body = oc_message(x)->body;
		a.modp = 0;
		oc_start_adapted(x, &a);
	}
	oc_hold_forward(&s->hold, x, size);
}

static void block_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	const struct block_config *c = oc_config(x);
	struct block_state *s = state;
	bool scanned = oc_part_is_body(d->part) || c->headers;
	uint64_t held = 0;
	uint32_t pattern;
	size_t end;

	if (d->part != s->part)
		s->match = 0;
	s->part = d->part;
	if (scanned && match_any(c->set, &s->match, d->bytes, d->len, &end, &pattern)) {
		block_hit(x, c->patterns[pattern].name);
		return;
	}
	if (oc_hold_add(&s->hold, x, d) != 0 || s->hold.bytes_len > BLOCK_MEMORY) {
		oc_abort(x, "too much to hold");
		return;
	}
	if (s->hold.total > c->hold)
		s->passing = true;
	if (s->passing) {
		held = scanned ? match_set_depth(c->set, s->match) : 0;
		block_let(x, s, s->hold.total - held);
	}
}

static void block_end(struct oc_xaction *x, void *state, bool ok)
{
	struct block_state *s = state;

	if (!ok)
		return;
	block_let(x, s, s->hold.total);
	oc_end(x);
}

static void block_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	oc_hold_free(&((struct block_state *)state)->hold);
}

const struct oc_service_type service_block = {
	.name = "block",
	.uri = "urn:opes:service:block",
	.summary = "stops messages that carry a pattern, the EICAR test file among them",
	.options = "  pattern=TEXT     literal; may be repeated\n"
		   "  file=PATH        one literal per line\n"
		   "  hold=N|all       octets held before anything is let through (1M)\n"
		   "  headers=yes|no   also in heads and trailers (no)\n"
		   "  nocase=yes|no    A-Z in patterns match a-z (no)\n"
		   "  eicar=yes|no     the EICAR test file (yes)\n",
	.state_size = sizeof(struct block_state),
	.configure = block_configure,
	.unconfigure = block_unconfigure,
	.start = block_start,
	.data = block_data,
	.end = block_end,
	.close = block_close,
};
