/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <rte_mbuf.h>
#include "callout/callout_test.h"

bool world_core;

/* --- a policy image by hand ------------------------------------------------------------------------------- */

uint32_t policy_image_generation(const struct policy_image *img)
{
	return img->generation;
}

uint32_t policy_image_services(const struct policy_image *img)
{
	return img->services;
}

uint32_t policy_image_rules(const struct policy_image *img)
{
	return img->rules;
}

const struct policy_service *policy_image_service(const struct policy_image *img, uint32_t i)
{
	return &img->service[i];
}

const struct policy_rule *policy_image_rule(const struct policy_image *img, uint32_t i)
{
	return &img->rule[i];
}

void world_image(struct world *w, uint32_t i, const char *name, const char *address, uint32_t connections)
{
	struct policy_service *s = &w->img.service[i];

	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->uri, sizeof(s->uri), "urn:opes:service:%s", name);
	snprintf(s->address, sizeof(s->address), "%s", address);
	s->connections = connections;
	s->dialect = world_core ? POLICY_DIALECT_CORE : POLICY_DIALECT_DRAFT;
	s->deadline_us = 10000000;
	s->connect_timeout_us = 2000000;
	s->retry_us = 100000;
	s->idle_probe_us = 5000000;
	s->probe_timeout_us = 2000000;
	if (w->img.services <= i)
		w->img.services = i + 1;
	w->img.generation++;
}

/* --- the worker ------------------------------------------------------------------------------------------- */

uint8_t test_octet(uint32_t id, uint64_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) * 13 + id * 31);
}

static void item_data(struct item *it, const struct callout_event *ev)
{
	uint64_t i;

	if (!ev->size) { /* predictions only */
		assert_null(ev->m);
		return;
	}
	assert_non_null(ev->m);
	assert_int_equal(ev->offset, it->got);
	if (!it->first)
		it->first = ++it->w->firsts;
	assert_true(ev->data >= (uint8_t *)ev->m->buf_addr);
	assert_true(ev->data + ev->size <= (uint8_t *)ev->m->buf_addr + ev->m->buf_len);
	for (i = 0; i < ev->size; i++)
		if (ev->data[i] != test_octet(it->id, it->got + i))
			fail_msg("transaction %u: octet %lu differs", it->id, it->got + i);
	it->got += ev->size;
	rte_pktmbuf_free_seg(ev->m);
}

static void on_event(void *ctx, const struct callout_event *ev)
{
	struct item *it = ev->txn->user;

	assert_int_equal(it->closed, 0);
	if (it->end_sent)
		assert_int_equal(ev->type, CALLOUT_EV_CLOSED); /* INV-CALLOUT-1 */
	if (ev->type != CALLOUT_EV_CLOSED && ev->type != CALLOUT_EV_ROOM)
		assert_false(it->failed || it->ended);
	switch (ev->type) {
	case CALLOUT_EV_AM_START:
		it->am_starts++;
		it->sizep = ev->sizep;
		it->modp = ev->modp;
		it->el = ev->el;
		it->answers = ev->answers_request;
		break;
	case CALLOUT_EV_DATA:
		if (ev->modp >= 0)
			it->modp = ev->modp;
		item_data(it, ev);
		break;
	case CALLOUT_EV_ENOUGH:
		it->enough++;
		break;
	case CALLOUT_EV_WONT_FORWARD:
		assert_true(ev->src_offset + ev->size <= it->pos);
		it->freed += ev->size;
		it->verdict = ev->ok;
		break;
	case CALLOUT_EV_AS_IS:
		assert_int_equal(ev->offset, it->got);
		assert_int_equal(ev->src_offset, it->got);
		assert_true(it->copied && ev->src_offset + ev->size <= it->pos);
		it->got += ev->size;
		it->as_is++;
		break;
	case CALLOUT_EV_AM_END:
		it->am_ends++;
		it->am_bad += !ev->ok;
		it->cause = ev->ok ? it->cause : ev->cause;
		it->text = ev->ok ? it->text : ev->text;
		break;
	case CALLOUT_EV_LEAVE:
		it->left = true;
		it->rest = ev->src_offset;
		break;
	case CALLOUT_EV_PAUSE:
		it->paused = true;
		it->pauses++;
		break;
	case CALLOUT_EV_NEED:
		it->paused = false;
		it->needs++;
		break;
	case CALLOUT_EV_ROOM:
		assert_true(it->refused);
		it->refused = false;
		it->rooms++;
		break;
	case CALLOUT_EV_ENDED:
		it->ended++;
		break;
	case CALLOUT_EV_FAILED:
		it->failed++;
		it->cause = ev->cause;
		it->text = ev->text;
		assert_non_null(ev->text);
		break;
	case CALLOUT_EV_CLOSED:
		assert_true(it->end_sent);
		it->closed++;
		break;
	default:
		break;
	}
}

void item_end(struct item *it, bool error)
{
	it->end_sent = true;
	callout_end(it->w->port, &it->txn, error);
}

static bool item_chunk(struct item *it)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(it->w->pool);
	struct chunk c = {.m = m};
	int ret;
	uint32_t i;

	if (!m)
		return false;
	c.len = RTE_MIN((uint64_t)CHUNK, it->len - it->pos);
	c.data = (uint8_t *)rte_pktmbuf_append(m, c.len);
	for (i = 0; i < c.len; i++)
		((uint8_t *)(uintptr_t)c.data)[i] = test_octet(it->id, it->pos + i);
	ret = callout_data(it->w->port, &it->txn, &c, it->pos, it->part, it->copied);
	rte_pktmbuf_free_seg(m);
	if (ret) {
		assert_int_equal(ret, -ENOBUFS);
		it->refused = true;
		return false;
	}
	it->pos += c.len;
	return true;
}

static bool item_aux(struct item *it)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(it->w->pool);
	struct chunk c = {.m = m, .len = (uint16_t)strlen(it->aux)};

	c.data = (uint8_t *)rte_pktmbuf_append(m, c.len);
	memcpy((void *)(uintptr_t)c.data, it->aux, c.len);
	it->aux_sent = callout_aux(it->w->port, &it->txn, &c, CALLOUT_PART_REQUEST_HEADER) == 0;
	rte_pktmbuf_free_seg(m);
	return it->aux_sent;
}

/* Sends as long as it is taken; a refused one waits for CALLOUT_EV_ROOM. */
void item_feed(struct item *it)
{
	uint32_t n = 32;

	if (it->end_sent || it->closed)
		return;
	if ((it->ended || it->failed) && !it->hold) {
		item_end(it, it->failed);
		return;
	}
	if (it->aux && !it->aux_sent && !item_aux(it))
		return;
	while (!it->refused && !it->paused && !it->left && it->pos < it->len && n--)
		if (!item_chunk(it))
			return;
	if (it->pos == it->len && !it->data_ended && !it->hold && !it->left &&
	    callout_data_end(it->w->port, &it->txn, true) == 0)
		it->data_ended = true;
}

struct item *world_start(struct world *w, uint32_t id, uint32_t service, uint64_t len, bool copied)
{
	const char *meta = w->meta ? w->meta : "Protocol: HTTP/1.1\r\nKind: response\r\n";
	struct item *it = &w->item[id];
	int ret;

	assert_true(id < w->nitems);
	memset(it, 0, sizeof(*it));
	it->w = w;
	it->id = id;
	it->len = len;
	it->copied = copied;
	it->part = strstr(meta, "HTTP/")	   == NULL ? CALLOUT_PART_NONE
		   : strstr(meta, "Kind: response") != NULL ? CALLOUT_PART_RESPONSE_BODY
							    : CALLOUT_PART_REQUEST_BODY;
	it->txn.user = it;
	it->txn.priority = w->priority;
	it->txn.el_known = it->part != CALLOUT_PART_NONE;
	it->txn.el = len;
	ret = callout_start(w->port, &it->txn, &w->img, service, meta, (uint32_t)strlen(meta), len);
	assert_int_equal(ret, 0);
	return it;
}

/* --- rounds ----------------------------------------------------------------------------------------------- */

void world_open(struct world *w, uint32_t ring_size, uint32_t txns_max, uint32_t nitems)
{
	struct callout_config cfg = {.nworkers = 1, .ring_size = ring_size, .txns_max = txns_max,
				     .client = "opes/test", .socket_id = SOCKET_ID_ANY,
				     .core_max = w->core_max};

	w->pool = rte_pktmbuf_pool_create("test", 8191, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	assert_non_null(w->pool);
	w->pool_free = rte_mempool_avail_count(w->pool);
	w->shm = calloc(1, sizeof(*w->shm));
	cfg.bufs = w->pool;
	cfg.shm = w->shm;
	assert_int_equal(callout_lcore_create(&w->l, &cfg), 0);
	w->port = callout_lcore_port(w->l, 0);
	w->nitems = nitems;
	w->item = aligned_alloc(64, nitems * sizeof(*w->item));
	memset(w->item, 0, nitems * sizeof(*w->item));
	w->now = 1000000;
	w->step_us = 50;
	assert_int_equal(callout_lcore_adopt(w->l, &w->img), 0);
}

void world_close(struct world *w)
{
	int i;

	callout_lcore_destroy(w->l);
	for (i = 0; i < 2; i++)
		if (w->server[i])
			test_server_close(w->server[i]);
	assert_int_equal(rte_mempool_avail_count(w->pool), w->pool_free); /* every buffer is back */
	rte_mempool_free(w->pool);
	free(w->shm);
	free(w->item);
}

void world_step(struct world *w)
{
	uint32_t i;

	w->now += w->step_us;
	callout_lcore_poll(w->l, w->now);
	for (i = 0; i < 2; i++)
		if (w->server[i])
			test_server_poll(w->server[i], w->now);
	if (w->worker_sleeps)
		return;
	callout_poll(w->port, on_event, w, 256);
	for (i = 0; i < w->nitems; i++)
		if (w->item[i].w)
			item_feed(&w->item[i]);
}

void world_steps(struct world *w, uint32_t steps)
{
	while (steps--)
		world_step(w);
}

void world_until(struct world *w, const uint32_t *flag, uint32_t n, uint32_t steps)
{
	while (*(const volatile uint32_t *)flag < n && steps--)
		world_step(w);
	if (*flag < n)
		fail_msg("it did not come: %u of %u", *flag, n);
}

void world_until_up(struct world *w, uint32_t service)
{
	world_until(w, &w->shm->service[service].connections_up, 1, 200000);
}
