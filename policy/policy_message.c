/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Message conditions. What a message offers is prepared once, and only as far
 * as some rule asks: its fields are read at the first condition on one, an
 * expression database is run over its field at the first expression on it, and
 * the results stay for the rules after.
 */
#include <string.h>
#include <strings.h>
#include "policy/policy_matcher.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Host without port and final dot: RFC 3986 section 3.2.2 and 3.2.3. */
static struct policy_text host_name(const char *s, uint32_t len)
{
	uint32_t n = len;

	while (n && is_digit(s[n - 1]))
		n--;
	if (n && s[n - 1] == ':' && (s[0] != '[' || (n > 1 && s[n - 2] == ']')))
		len = n - 1;
	if (len && s[len - 1] == '.')
		len--;
	return (struct policy_text){s, len};
}

/* type/subtype before the parameters: RFC 9110 section 8.3.1. */
static struct policy_text media_type(const char *s, uint32_t len)
{
	const char *semicolon = memchr(s, ';', len);

	if (semicolon)
		len = (uint32_t)(semicolon - s);
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return (struct policy_text){s, len};
}

void policy_message_begin(struct policy_matcher *m, const struct policy_message *msg)
{
	m->msg = msg;
	m->fields_read = false;
	m->nfound = 0;
	m->content_type = (struct policy_text){NULL, 0};
	m->host = msg->host ? host_name(msg->host, msg->host_len) : (struct policy_text){NULL, 0};
	m->host_hash = m->host.s ? policy_hash(m->host.s, m->host.len) : 0;
	memset(m->scanned, 0, (m->nfields / 64 + 1) * sizeof(*m->scanned));
}

/* The field a rule names so, 0 = none does. */
static uint32_t field_find(const struct policy_matcher *m, const char *name, uint32_t len)
{
	uint32_t hash = policy_hash(name, len), at = hash & m->name_mask;

	for (; m->name_table[at]; at = (at + 1) & m->name_mask) {
		const struct policy_image_field *f = &m->field[m->name_table[at]];

		if (f->hash == hash && f->len == len && !strncasecmp(m->text + f->name, name, len))
			return m->name_table[at];
	}
	return 0;
}

void policy_message_fields(struct policy_matcher *m)
{
	static const char type[] = "content-type";
	const char *name, *value;
	uint32_t nlen, vlen, field;

	if (m->fields_read)
		return;
	m->fields_read = true;
	if (!m->msg->field)
		return;
	for (uint32_t i = 0; m->msg->field(m->msg->ctx, i, &name, &nlen, &value, &vlen); i++) {
		if (nlen == sizeof(type) - 1 && !m->content_type.s &&
		    !strncasecmp(name, type, nlen))
			m->content_type = media_type(value, vlen);
		field = field_find(m, name, nlen);
		if (field && m->nfound < POLICY_FOUND_MAX)
			m->found[m->nfound++] = (struct policy_found){value, vlen, field};
	}
}

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		  void *ctx)
{
	struct policy_matcher *m = ctx;

	if (id < m->img->nregex)
		m->hit[id / 64] |= UINT64_C(1) << (id % 64);
	return 0;
}

static void scan_text(struct policy_matcher *m, uint32_t field, const char *s, uint32_t len)
{
	const hs_database_t *db = (const void *)((const char *)m->img + m->field[field].db);

	/* The only failure left is a damaged database, which the image's checksum rules out. */
	(void)hs_scan(db, s, len, 0, m->scratch, on_hit, m);
}

static struct policy_text field_text(const struct policy_matcher *m, uint32_t field)
{
	switch (field) {
	case POLICY_FIELD_HOST:
		return m->host;
	case POLICY_FIELD_PATH:
		return (struct policy_text){m->msg->path, m->msg->path_len};
	default:
		return m->content_type;
	}
}

void policy_message_scan(struct policy_matcher *m, uint32_t field)
{
	const struct policy_image_field *f = &m->field[field];

	if (m->scanned[field / 64] & (UINT64_C(1) << (field % 64)))
		return;
	m->scanned[field / 64] |= UINT64_C(1) << (field % 64);
	for (uint32_t i = f->regex_first; i < f->regex_first + f->regex_count; i++)
		m->hit[i / 64] &= ~(UINT64_C(1) << (i % 64));
	if (!f->db_len)
		return;
	if (field < POLICY_FIELD_HEADER) {
		struct policy_text t = field_text(m, field);

		scan_text(m, field, t.s, t.len);
		return;
	}
	for (uint32_t i = 0; i < m->nfound; i++) {
		if (m->found[i].field == field)
			scan_text(m, field, m->found[i].value, m->found[i].len);
	}
}

static bool equal(const char *a, const char *b, uint32_t len, bool any_case)
{
	return any_case ? !strncasecmp(a, b, len) : !memcmp(a, b, len);
}

static bool literal_match(const struct policy_matcher *m, const struct policy_image_term *t,
			  struct policy_text v, bool any_case)
{
	const char *want = m->text + t->text;

	if (v.len < t->len || (t->op == POLICY_OP_EXACT && v.len != t->len))
		return false;
	return equal(want, t->op == POLICY_OP_SUFFIX ? v.s + (v.len - t->len) : v.s, t->len,
		     any_case);
}

/* Any term of the group, for this value of its field. */
static bool terms_match(struct policy_matcher *m, const struct policy_image_group *g,
			struct policy_text v, bool any_case)
{
	const struct policy_image_term *t = m->term + g->terms.first;

	for (uint32_t i = 0; i < g->terms.count; i++, t++) {
		if (t->op == POLICY_OP_REGEX) {
			policy_message_scan(m, g->field);
			if (m->hit[t->text / 64] & (UINT64_C(1) << (t->text % 64)))
				return true;
		} else if (literal_match(m, t, v, any_case)) {
			return true;
		}
	}
	return false;
}

static bool header_match(struct policy_matcher *m, const struct policy_image_group *g)
{
	bool there = false, any = false;

	policy_message_fields(m);
	for (uint32_t i = 0; i < m->nfound && !any; i++) {
		if (m->found[i].field != g->field)
			continue;
		there = true;
		any = terms_match(m, g, (struct policy_text){m->found[i].value, m->found[i].len},
				  false);
	}
	return there && (!g->terms.count || any != g->negate);
}

static bool status_match(const struct policy_matcher *m, const struct policy_image_group *g)
{
	const struct policy_range *r = m->range + g->terms.first;

	for (uint32_t i = 0; m->msg->kind == POLICY_KIND_RESPONSE && i < g->terms.count; i++, r++) {
		if (m->msg->status >= r->lo && m->msg->status <= r->hi)
			return true;
	}
	return false;
}

static bool group_match(struct policy_matcher *m, const struct policy_image_group *g)
{
	struct policy_text v = {NULL, 0};
	bool any_case = false;

	switch (g->subject) {
	case POLICY_SUBJECT_METHOD:
		v = (struct policy_text){m->msg->method, m->msg->method_len};
		break;
	case POLICY_SUBJECT_HOST:
		v = m->host;
		any_case = true;
		break;
	case POLICY_SUBJECT_PATH:
		v = (struct policy_text){m->msg->path, m->msg->path_len};
		break;
	case POLICY_SUBJECT_CONTENT_TYPE:
		policy_message_fields(m);
		v = m->content_type;
		any_case = true;
		break;
	case POLICY_SUBJECT_HEADER:
		return header_match(m, g);
	default:
		return status_match(m, g);
	}
	return v.s && terms_match(m, g, v, any_case) != g->negate;
}

bool policy_message_match(struct policy_matcher *m, const struct policy_gate *g)
{
	/* a rule is about interim responses only when its status says so */
	bool meant = m->msg->kind != POLICY_KIND_RESPONSE || m->msg->status / 100 != 1;

	for (uint32_t i = 0; i < g->groups.count; i++) {
		const struct policy_image_group *group = m->group + g->groups.first + i;

		if (!group_match(m, group))
			return false;
		meant |= group->subject == POLICY_SUBJECT_STATUS;
	}
	return meant;
}
