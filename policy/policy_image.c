/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <hs/hs.h>
#include <string.h>
#include "policy/policy_image.h"

const uint32_t policy_image_element[POLICY_PART_MAX] = {
	[POLICY_PART_SERVICES] = sizeof(struct policy_service),
	[POLICY_PART_RULES] = sizeof(struct policy_rule),
	[POLICY_PART_GATES] = sizeof(struct policy_gate),
	[POLICY_PART_PREFIXES] = sizeof(struct policy_prefix),
	[POLICY_PART_RANGES] = sizeof(struct policy_range),
	[POLICY_PART_GROUPS] = sizeof(struct policy_image_group),
	[POLICY_PART_TERMS] = sizeof(struct policy_image_term),
	[POLICY_PART_FIELDS] = sizeof(struct policy_image_field),
	[POLICY_PART_TEXT] = 1,
	[POLICY_PART_DATABASES] = 1,
	[POLICY_PART_OPES] = sizeof(struct policy_image_opes),
};

/* CRC-64 with the polynomial of ECMA-182, reflected. */
static uint64_t crc_octets(uint64_t crc, const uint8_t *p, size_t len, const uint64_t table[256])
{
	for (size_t i = 0; i < len; i++)
		crc = table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
	return crc;
}

uint64_t policy_image_checksum(const struct policy_image *img, size_t len)
{
	const size_t at = offsetof(struct policy_image, checksum),
		     after = at + sizeof(img->checksum);
	const uint8_t *p = (const uint8_t *)img;
	static const uint8_t zero[8];
	uint64_t table[256], crc = ~UINT64_C(0);

	for (uint64_t i = 0; i < 256; i++) {
		table[i] = i;
		for (unsigned j = 0; j < 8; j++)
			table[i] =
				table[i] >> 1 ^ (table[i] & 1 ? UINT64_C(0xc96c5795d7870f42) : 0);
	}
	crc = crc_octets(crc, p, at, table);
	crc = crc_octets(crc, zero, sizeof(zero), table);
	return ~crc_octets(crc, p + after, len - after, table);
}

static bool inside(const struct policy_image *img, enum policy_part p, struct policy_slice s)
{
	return (uint64_t)s.first + s.count <= img->part[p].count;
}

static bool sections_fit(const struct policy_image *img)
{
	for (unsigned i = 0; i < POLICY_PART_MAX; i++) {
		const struct policy_span *s = &img->part[i];

		if (s->offset % POLICY_IMAGE_ALIGN || s->offset < sizeof(*img) ||
		    s->offset > img->length ||
		    s->count > (img->length - s->offset) / policy_image_element[i])
			return false;
	}
	return img->part[POLICY_PART_RULES].count <= POLICY_RULES_MAX &&
	       img->part[POLICY_PART_RULES].count == img->part[POLICY_PART_GATES].count &&
	       img->part[POLICY_PART_SERVICES].count <= POLICY_SERVICES_MAX &&
	       img->part[POLICY_PART_FIELDS].count >= POLICY_FIELD_HEADER &&
	       img->part[POLICY_PART_FIELDS].count <= POLICY_FIELDS_MAX &&
	       img->part[POLICY_PART_OPES].count == 1 && img->nregex <= POLICY_ITEMS_MAX;
}

static bool services_sound(const struct policy_image *img)
{
	for (uint32_t i = 0; i < policy_image_services(img); i++) {
		const struct policy_service *s = policy_image_service(img, i);

		if (!memchr(s->name, 0, sizeof(s->name)) || !memchr(s->uri, 0, sizeof(s->uri)) ||
		    !memchr(s->address, 0, sizeof(s->address)) ||
		    s->dialect > POLICY_DIALECT_CORE || !s->connections ||
		    s->bypassable >= POLICY_BYPASSABLE_MAX)
			return false;
	}
	return true;
}

static bool opes_sound(const struct policy_image *img)
{
	const struct policy_image_opes *o = policy_image_part(img, POLICY_PART_OPES);

	return memchr(o->pub.system_uri, 0, sizeof(o->pub.system_uri)) &&
	       memchr(o->pub.processor_uri, 0, sizeof(o->pub.processor_uri)) &&
	       o->pub.trace < POLICY_TRACE_MAX && o->pub.via < POLICY_VIA_MAX &&
	       o->pub.overflow < POLICY_TRACE_OVERFLOW_MAX && o->pub.trace_limit >= POLICY_TRACE_LIMIT_MIN &&
	       o->pub.trace_limit <= POLICY_TRACE_LIMIT_MAX &&
	       *(const uint8_t *)&o->pub.service_entries <= 1 && inside(img, POLICY_PART_PREFIXES, o->bypass_clients);
}

static bool rules_sound(const struct policy_image *img)
{
	const struct policy_gate *g = policy_image_part(img, POLICY_PART_GATES);

	for (uint32_t i = 0; i < policy_image_rules(img); i++, g++) {
		const struct policy_rule *r = policy_image_rule(img, i);

		if (!memchr(r->name, 0, sizeof(r->name)) || r->action > POLICY_TUNNEL ||
		    r->bypassable >= POLICY_BYPASSABLE_MAX || r->protocol > POLICY_PROTO_RTSP ||
		    r->starttls > POLICY_STARTTLS_STRIP || r->odd_ends > POLICY_ODD_ENDS_REFUSE || g->protocol != r->protocol ||
		    g->kinds != r->kinds)
			return false;
		if (r->service != UINT32_MAX && r->service >= policy_image_services(img))
			return false;
		if (r->service == UINT32_MAX && (r->action == POLICY_OBSERVE || r->action == POLICY_ADAPT))
			return false;
		for (uint32_t j = 0; j < POLICY_CAUSES; j++) {
			if (r->on_failure[j] > POLICY_ANSWER)
				return false;
		}
		if (!inside(img, POLICY_PART_PREFIXES, g->client) ||
		    !inside(img, POLICY_PART_PREFIXES, g->server) ||
		    !inside(img, POLICY_PART_RANGES, g->client_port) ||
		    !inside(img, POLICY_PART_RANGES, g->server_port) ||
		    !inside(img, POLICY_PART_RANGES, g->vlan) ||
		    !inside(img, POLICY_PART_GROUPS, g->groups))
			return false;
	}
	return true;
}

static bool conditions_sound(const struct policy_image *img)
{
	const struct policy_prefix *p = policy_image_part(img, POLICY_PART_PREFIXES);
	const struct policy_image_group *g = policy_image_part(img, POLICY_PART_GROUPS);
	const struct policy_image_term *t = policy_image_part(img, POLICY_PART_TERMS);

	for (uint64_t i = 0; i < img->part[POLICY_PART_PREFIXES].count; i++, p++) {
		if (p->bits > 128 || (p->v4 && p->bits < 96))
			return false;
	}
	for (uint64_t i = 0; i < img->part[POLICY_PART_GROUPS].count; i++, g++) {
		bool status = g->subject == POLICY_SUBJECT_STATUS;

		if (g->subject >= POLICY_SUBJECT_MAX ||
		    g->field >= img->part[POLICY_PART_FIELDS].count ||
		    !inside(img, status ? POLICY_PART_RANGES : POLICY_PART_TERMS, g->terms))
			return false;
	}
	for (uint64_t i = 0; i < img->part[POLICY_PART_TERMS].count; i++, t++) {
		if (t->op >= POLICY_OP_MAX)
			return false;
		if (t->op == POLICY_OP_REGEX ? t->text >= img->nregex
					     : !inside(img, POLICY_PART_TEXT,
						       (struct policy_slice){t->text, t->len}))
			return false;
	}
	return true;
}

static bool fields_sound(const struct policy_image *img)
{
	const struct policy_image_field *f = policy_image_part(img, POLICY_PART_FIELDS);
	const struct policy_span *dbs = &img->part[POLICY_PART_DATABASES];

	for (uint64_t i = 0; i < img->part[POLICY_PART_FIELDS].count; i++, f++) {
		size_t size = 0;

		if (!inside(img, POLICY_PART_TEXT, (struct policy_slice){f->name, f->len}) ||
		    (uint64_t)f->regex_first + f->regex_count > img->nregex)
			return false;
		if (!f->db_len) {
			if (f->db || f->regex_count)
				return false;
			continue;
		}
		if (f->db % POLICY_IMAGE_ALIGN || f->db < dbs->offset ||
		    f->db - dbs->offset > dbs->count ||
		    f->db_len > dbs->count - (f->db - dbs->offset) ||
		    f->db_len < POLICY_IMAGE_ALIGN)
			return false;
		if (hs_database_size((const hs_database_t *)((const char *)img + f->db), &size) !=
			    HS_SUCCESS ||
		    size > f->db_len)
			return false;
	}
	return true;
}

int policy_image_check(const void *mem, size_t len)
{
	const struct policy_image *img = mem;

	if ((uintptr_t)mem % POLICY_IMAGE_ALIGN || len < sizeof(*img))
		return -EINVAL;
	if (img->magic != POLICY_IMAGE_MAGIC || img->version != POLICY_IMAGE_VERSION ||
	    img->length > len || img->length < sizeof(*img))
		return -EINVAL;
	if (img->checksum != policy_image_checksum(img, img->length))
		return -EINVAL;
	if (strncmp(img->hyperscan, hs_version(), sizeof(img->hyperscan) - 1))
		return -EINVAL;
	if (!sections_fit(img) || !services_sound(img) || !rules_sound(img) ||
	    !conditions_sound(img) || !fields_sound(img) || !opes_sound(img))
		return -EINVAL;
	return 0;
}

size_t policy_image_size(const struct policy_image *img)
{
	return img->length;
}

uint32_t policy_image_generation(const struct policy_image *img)
{
	return img->generation;
}

uint32_t policy_image_rules(const struct policy_image *img)
{
	return (uint32_t)img->part[POLICY_PART_RULES].count;
}

uint32_t policy_image_services(const struct policy_image *img)
{
	return (uint32_t)img->part[POLICY_PART_SERVICES].count;
}

const struct policy_rule *policy_image_rule(const struct policy_image *img, uint32_t i)
{
	return (const struct policy_rule *)policy_image_part(img, POLICY_PART_RULES) + i;
}

const struct policy_service *policy_image_service(const struct policy_image *img, uint32_t i)
{
	return (const struct policy_service *)policy_image_part(img, POLICY_PART_SERVICES) + i;
}

const struct policy_opes *policy_image_opes(const struct policy_image *img)
{
	return &((const struct policy_image_opes *)policy_image_part(img, POLICY_PART_OPES))->pub;
}
