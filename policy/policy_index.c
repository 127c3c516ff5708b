/* SPDX-License-Identifier: BSD-3-Clause */
/* The look-up. How the index comes about is in policy_index_build.c. */
#include <string.h>
#include "policy/policy_index_table.h"
#include "policy/policy_matcher.h"

static void file_candidates(struct policy_index *x, uint64_t key)
{
	const struct policy_index_entry *e = policy_index_find(&x->table, key);
	const uint64_t *set;

	if (!e->key)
		return;
	if (e->count != POLICY_INDEX_DENSE) {
		for (uint32_t i = e->first; i < e->first + e->count; i++)
			x->candidate[x->list[i] / 64] |= UINT64_C(1) << (x->list[i] % 64);
		return;
	}
	set = x->dense + (size_t)e->first * x->nwords;
	for (uint32_t i = 0; i < x->nwords; i++)
		x->candidate[i] |= set[i];
}

/* The hash runs over the text once; at every length that some rule asks for, it is a key. */
static void look_prefix(struct policy_index *x, uint32_t slot, struct policy_text v)
{
	const struct policy_index_slot *s = &x->slot[slot];
	uint32_t at = 0, len, last = v.len < POLICY_INDEX_LEN ? v.len : POLICY_INDEX_LEN;
	uint64_t h = 0;

	for (uint32_t w = 0; w <= last / 64; w++) {
		for (uint64_t left = s->prefix[w]; left; left &= left - 1) {
			len = w * 64 + (uint32_t)__builtin_ctzll(left);
			if (len > last)
				break;
			h = policy_index_forward(h, v.s, at, len);
			at = len;
			file_candidates(x, policy_index_key(slot, POLICY_OP_PREFIX, len, h));
		}
	}
	if (s->exact[last / 64] & (UINT64_C(1) << (last % 64))) {
		h = policy_index_forward(h, v.s, at, v.len);
		file_candidates(x, policy_index_key(slot, POLICY_OP_EXACT, v.len, h));
	}
}

static void look_suffix(struct policy_index *x, uint32_t slot, struct policy_text v)
{
	const struct policy_index_slot *s = &x->slot[slot];
	uint32_t at = 0, len, last = v.len < POLICY_INDEX_LEN ? v.len : POLICY_INDEX_LEN;
	uint64_t h = 0;

	for (uint32_t w = 0; w <= last / 64; w++) {
		for (uint64_t left = s->suffix[w]; left; left &= left - 1) {
			len = w * 64 + (uint32_t)__builtin_ctzll(left);
			if (len > last)
				return;
			h = policy_index_backward(h, v.s + v.len, at, len);
			at = len;
			file_candidates(x, policy_index_key(slot, POLICY_OP_SUFFIX, len, h));
		}
	}
}

static void look_regex(struct policy_index *x, struct policy_matcher *m, uint32_t field)
{
	uint32_t first = m->field[field].regex_first, end = first + m->field[field].regex_count;

	policy_message_scan(m, field);
	for (uint32_t i = first; i < end; i = (i / 64 + 1) * 64) {
		uint64_t hit = m->hit[i / 64] >> (i % 64) << (i % 64);

		for (; hit; hit &= hit - 1) {
			uint32_t bit = i / 64 * 64 + (uint32_t)__builtin_ctzll(hit);

			if (bit < end) /* the word's other bits are of the next field */
				file_candidates(x,
						policy_index_key(field, POLICY_OP_REGEX, 0, bit));
		}
	}
}

static void look_text(struct policy_index *x, uint32_t slot, struct policy_text v)
{
	look_prefix(x, slot, v);
	look_suffix(x, slot, v);
}

static void look_field(struct policy_index *x, struct policy_matcher *m, uint32_t field,
		       struct policy_text v)
{
	if (!x->slot[field].used || !v.s)
		return;
	look_text(x, field, v);
	if (x->slot[field].regex)
		look_regex(x, m, field);
}

static void look_headers(struct policy_index *x, struct policy_matcher *m)
{
	for (uint32_t i = 0; i < m->nfound; i++) {
		const struct policy_found *f = &m->found[i];

		look_field(x, m, f->field, (struct policy_text){f->value, f->len});
		if (x->slot[f->field].present)
			file_candidates(x, policy_index_key(f->field, POLICY_INDEX_PRESENT, 0, 0));
	}
}

static void look_address(struct policy_index *x, uint32_t what, const uint64_t addr[2], bool v4)
{
	const struct policy_index_masks *a = &x->masks[what];

	for (uint32_t i = 0; i < a->count; i++) {
		uint64_t masked[2] = {addr[0] & a->mask[i][0], addr[1] & a->mask[i][1]};

		file_candidates(x, policy_index_address(what, masked, a->mask[i], v4));
	}
}

const uint64_t *policy_index_candidates(struct policy_index *x, struct policy_matcher *m,
					const struct policy_probe *p)
{
	const struct policy_message *msg = m->msg;

	memcpy(x->candidate, x->always, x->nwords * sizeof(*x->candidate));
	look_address(x, POLICY_INDEX_CLIENT, p->client, p->client_v4);
	look_address(x, POLICY_INDEX_SERVER, p->server, p->server_v4);
	if (x->server_port)
		file_candidates(x, policy_index_number(POLICY_INDEX_SERVER_PORT, p->server_port));
	if (x->vlan)
		file_candidates(x, policy_index_number(POLICY_INDEX_VLAN, p->vlan));
	if (x->slot[x->method].used && msg->method)
		look_text(x, x->method, (struct policy_text){msg->method, msg->method_len});
	look_field(x, m, POLICY_FIELD_HOST, m->host);
	look_field(x, m, POLICY_FIELD_PATH, (struct policy_text){msg->path, msg->path_len});
	if (x->fields) {
		policy_message_fields(m);
		look_field(x, m, POLICY_FIELD_CONTENT_TYPE, m->content_type);
		look_headers(x, m);
	}
	return x->candidate;
}
