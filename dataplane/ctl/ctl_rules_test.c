/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a rule image from control's memory to its end, with the threads played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_eal.h>
#include <rte_memzone.h>

#include "ctl/ctl_query.h"
#include "ctl/ctl_rules.h"

#define WORKERS 2

static const char config[] =
	"ports:\n"
	"  inside: {device: \"net_null0\"}\n"
	"  outside: {device: \"net_null1\"}\n"
	"services:\n"
	"  - {name: echo, address: \"tcp:127.0.0.1:4037\"}\n"
	"rules:\n"
	"  - {name: web, match: {protocol: http, server-port: 80}, action: adapt, service: echo}\n";

static struct shm_root *shm;
static struct ctl_rules_main rules;

static struct policy_image *image(uint32_t generation)
{
	struct policy_errors *e = calloc(1, sizeof(*e));
	struct policy_image *img = NULL;
	struct policy_config *c = NULL;

	assert_int_equal(policy_config_parse("test", config, strlen(config), &c, e), 0);
	assert_int_equal(policy_compile(c, generation, &img, e), 0);
	policy_config_free(c);
	free(e);
	return img;
}

static int setup(void **state)
{
	struct policy_image *img = image(1);

	shm = calloc(1, sizeof(*shm));
	assert_int_equal(ctl_rules_init(&rules, shm, WORKERS, SOCKET_ID_ANY, img), 0);
	free(img);
	return 0;
}

static int teardown(void **state)
{
	const struct rte_memzone *mz = rte_memzone_lookup("opes_rules_1");

	ctl_rules_fini(&rules);
	if (mz)
		rte_memzone_free(mz);
	free(shm);
	return 0;
}

/* What control does; the memzone's name is name. */
static const struct rte_memzone *publish(uint32_t generation, uint32_t said, const char *name)
{
	struct policy_image *img = image(generation);
	size_t size = policy_image_size(img);
	const struct rte_memzone *mz =
		rte_memzone_reserve_aligned(name, size, SOCKET_ID_ANY, 0, 4096);

	assert_non_null(mz);
	memcpy(mz->addr, img, size);
	shm->publish.address = (uint64_t)(uintptr_t)mz->addr;
	shm->publish.size = size;
	snprintf(shm->publish.memzone, sizeof(shm->publish.memzone), "%s", name);
	atomic_store(&shm->publish.generation, said);
	free(img);
	return mz;
}

static void thread_switches(struct ctl_rules_slot *s, bool drained)
{
	struct ctl_rules *r = atomic_load(&s->offered);

	atomic_store(&s->switched, r->generation);
	if (drained)
		atomic_store(&s->drained, r->generation);
}

static void test_first(void **state)
{
	const struct rte_memzone *mz = rte_memzone_lookup("opes_rules_1");

	assert_int_equal(atomic_load(&shm->publish.adopted), 1);
	assert_string_equal(shm->publish.adopted_memzone, "opes_rules_1");
	assert_non_null(mz);
	assert_int_equal(policy_image_generation(mz->addr), 1);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(atomic_load(&rules.worker[i].offered)->generation, 1);
	assert_true(rules.current->selects);
	ctl_rules_poll(&rules);
	assert_int_equal(rules.state, CTL_RULES_IDLE);
}

static void test_adoption(void **state)
{
	const struct rte_memzone *mz = publish(2, 2, "opes_rules_2");
	struct ctl_rules *old = rules.current;

	ctl_rules_poll(&rules);
	/* services first: no worker may select by rules whose services nobody knows */
	assert_int_equal(atomic_load(&rules.callout.offered)->generation, 2);
	assert_int_equal(atomic_load(&rules.worker[0].offered)->generation, 1);
	ctl_rules_poll(&rules);
	assert_int_equal(atomic_load(&rules.worker[0].offered)->generation, 1);
	thread_switches(&rules.callout, true);
	ctl_rules_poll(&rules);
	thread_switches(&rules.worker[0], true);
	ctl_rules_poll(&rules);
	assert_int_equal(atomic_load(&shm->publish.adopted), 1);
	thread_switches(&rules.worker[1], false);
	ctl_rules_poll(&rules);
	assert_int_equal(atomic_load(&shm->publish.adopted), 2); /* P1 */
	assert_string_equal(shm->publish.adopted_memzone, "opes_rules_2");
	/* INV-RULES-2: worker 1 has a message under way that began with the old one */
	ctl_rules_poll(&rules);
	assert_ptr_equal(rules.retired, old);
	atomic_store(&rules.worker[1].drained, 2);
	ctl_rules_poll(&rules);
	assert_null(rules.retired);
	/* control may do with its memory what it likes */
	memset(mz->addr, 0xee, mz->len);
	rte_memzone_free(mz);
	assert_int_equal(
		policy_image_check(rules.current->image, policy_image_size(rules.current->image)),
		0);
}

static void refused(const char *part)
{
	ctl_rules_poll(&rules);
	assert_int_equal(rules.state, CTL_RULES_IDLE);
	assert_int_equal(atomic_load(&shm->publish.adopted), 1);
	assert_int_equal(atomic_load(&shm->publish.refused), atomic_load(&shm->publish.generation));
	assert_non_null(strstr(shm->publish.reason, part));
	ctl_rules_poll(&rules); /* not looked at again */
}

static void test_refusals(void **state)
{
	const struct rte_memzone *mz = publish(2, 2, "opes_rules_2");

	((uint8_t *)mz->addr)[shm->publish.size / 2] ^= 1;
	refused("not whole");
	rte_memzone_free(mz);

	mz = publish(3, 4, "opes_rules_3");
	refused("another generation");
	rte_memzone_free(mz);

	shm->publish.size = 100;
	atomic_store(&shm->publish.generation, 5);
	refused("does not exist");

	mz = publish(6, 6, "opes_rules_6");
	shm->publish.address += 64;
	atomic_store(&shm->publish.generation, 7);
	refused("does not exist");
	rte_memzone_free(mz);
}

static bool row(void *ctx, const struct flow_entry *e, struct shm_flow_row *r)
{
	r->id = e->id;
	return true;
}

static void test_flow_listing(void **state)
{
	enum { FLOWS = 150 };
	struct flow_table *t = flow_table_init(aligned_alloc(64, flow_table_size(256)), 256, 0, 1);
	struct shm_query *q = calloc(1, sizeof(*q));
	const struct ctl_query_ops ops = {.row = row};
	uint64_t cursor = 0, seen = 0;
	unsigned answers = 0;

	for (uint32_t i = 0; i < FLOWS; i++) {
		struct flow_key k = {.sport = (uint16_t)i, .proto = 6};
		struct flow_entry *e;

		assert_int_equal(flow_table_insert(t, &k, &e), 0);
	}
	assert_false(ctl_query_poll(q, t, &ops, NULL));
	do {
		q->cursor = cursor;
		atomic_store(&q->ask, ++answers);
		while (!ctl_query_poll(q, t, &ops, NULL))
			; /* a slice at a time */
		assert_int_equal(atomic_load(&q->answer), answers);
		assert_false(ctl_query_poll(q, t, &ops, NULL));
		for (uint32_t i = 0; i < q->rows; i++)
			assert_int_equal(q->row[i].id, ++seen);
		cursor = q->next;
	} while (cursor);
	assert_int_equal(seen, FLOWS);
	assert_int_equal(answers, 3);
	free(q);
	free(t);
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
		cmocka_unit_test_setup_teardown(test_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adoption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test(test_flow_listing),
	};

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
