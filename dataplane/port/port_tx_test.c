/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_eal.h>

#include "port/port.h"

static struct rte_mempool *pool;
static struct port_pair pair;
static struct port_tx tx;

static void with_caps(bool multi_seg, bool indirect)
{
	memset(&pair, 0, sizeof(pair));
	pair.bufs = pool;
	pair.port[0].caps.multi_seg = multi_seg;
	pair.port[0].caps.indirect = indirect;
	port_tx_init(&tx, &pair, 0, 0);
}

/* len octets counting up from first. */
static struct rte_mbuf *frame(uint32_t len, uint8_t first)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *p;

	assert_non_null(m);
	p = (uint8_t *)rte_pktmbuf_append(m, len);
	assert_non_null(p);
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(first + i);
	return m;
}

static void assert_octets(const struct rte_mbuf *m, uint32_t len)
{
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(rte_pktmbuf_pkt_len(m), len);
	assert_int_equal(rte_pktmbuf_data_len(m), len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[i], (uint8_t)i);
}

static void drop_buffered(void)
{
	rte_pktmbuf_free_bulk(tx.pkt, tx.count);
	tx.count = 0;
	assert_int_equal(rte_mempool_avail_count(pool), pool->size); /* nothing leaked */
}

static void test_passes_what_fits(void **state)
{
	struct rte_mbuf *m = frame(60, 0), *chain = frame(20, 0);

	with_caps(true, true);
	assert_int_equal(rte_pktmbuf_chain(chain, frame(40, 20)), 0);
	port_tx_put(&tx, m);
	port_tx_put(&tx, chain);
	assert_int_equal(tx.count, 2);
	assert_ptr_equal(tx.pkt[0], m);
	assert_ptr_equal(tx.pkt[1], chain);
	assert_int_equal(chain->nb_segs, 2);
	drop_buffered();
}

static void test_joins_chain(void **state)
{
	struct rte_mbuf *m = frame(54, 0), *payload = frame(1000, 54);

	with_caps(false, true);
	assert_int_equal(rte_pktmbuf_chain(m, payload), 0);
	port_tx_put(&tx, m);
	assert_int_equal(tx.count, 1);
	assert_ptr_equal(tx.pkt[0], m); /* into the room behind the headers */
	assert_octets(tx.pkt[0], 1054);
	drop_buffered();
}

/* A head that somebody else refers to must not be written behind. */
static void test_copies_shared_head(void **state)
{
	struct rte_mbuf *m = frame(54, 0);

	with_caps(false, true);
	assert_int_equal(rte_pktmbuf_chain(m, frame(100, 54)), 0);
	rte_mbuf_refcnt_update(m, 1);
	port_tx_put(&tx, m);
	assert_int_equal(tx.count, 1);
	assert_ptr_not_equal(tx.pkt[0], m);
	assert_octets(tx.pkt[0], 154);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
	rte_pktmbuf_free(m);
	drop_buffered();
}

static void test_copies_indirect(void **state)
{
	struct rte_mbuf *m = frame(300, 0), *clone = rte_pktmbuf_clone(m, pool);

	with_caps(true, false);
	assert_non_null(clone);
	port_tx_put(&tx, clone);
	rte_pktmbuf_free(m);
	assert_int_equal(tx.count, 1);
	assert_true(RTE_MBUF_DIRECT(tx.pkt[0]));
	assert_octets(tx.pkt[0], 300);
	drop_buffered();
}

static void test_keeps_offload_request(void **state)
{
	struct rte_mbuf *m = frame(54, 0), *clone;

	with_caps(false, false);
	pair.port[0].caps.tx_cksum = pair.port[0].caps.tx_ip_cksum = true;
	port_tx_init(&tx, &pair, 0, 0);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	m->l2_len = 14;
	m->l3_len = 20;
	clone = rte_pktmbuf_clone(m, pool);
	assert_non_null(clone);
	port_tx_put(&tx, clone);
	rte_pktmbuf_free(m);
	assert_int_equal(tx.pkt[0]->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(tx.pkt[0]->l2_len, 14);
	assert_int_equal(tx.pkt[0]->l3_len, 20);
	drop_buffered();
}

static void test_counts_what_cannot_be(void **state)
{
	struct rte_mbuf *m = frame(1500, 0);

	with_caps(false, true);
	assert_int_equal(rte_pktmbuf_chain(m, frame(1500, 0)), 0); /* more than one mbuf holds */
	port_tx_put(&tx, m);
	assert_int_equal(tx.count, 0);
	assert_int_equal(tx.no_mbuf, 1);
	drop_buffered();
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char *)"--no-huge",
		       (char *)"--no-pci",
		       (char *)"--no-shconf",
		       (char *)"-m",
		       (char *)"64",
		       (char *)"--no-telemetry",
		       (char *)"--log-level=error"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes_what_fits),
		cmocka_unit_test(test_joins_chain),
		cmocka_unit_test(test_copies_shared_head),
		cmocka_unit_test(test_copies_indirect),
		cmocka_unit_test(test_keeps_offload_request),
		cmocka_unit_test(test_counts_what_cannot_be),
	};

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bufs", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
