/* SPDX-License-Identifier: BSD-3-Clause */
/* Publishing, events and JSON views on ordinary memory: memzones are malloc'd here, the dataplane
 * is the test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <rte_eal.h>
#include <rte_version.h>

#include "control_events.h"
#include "control_json.h"
#include "control_locks.h"
#include "control_plane.h"
#include "control_publish.h"
#include "policy/policy.h"

/* --- memzones ------------------------------------------------------------------------------------
 */

#define ZONES 8

static struct {
	char name[32];
	void *p;
	size_t size;
} zone[ZONES];
static bool zone_full;

void *control_plane_zone_reserve(const char *name, size_t size)
{
	for (int i = 0; i < ZONES && !zone_full; i++) {
		if (zone[i].p)
			continue;
		snprintf(zone[i].name, sizeof(zone[i].name), "%s", name);
		zone[i].size = (size + 63) / 64 * 64;
		zone[i].p = aligned_alloc(64, zone[i].size);
		return zone[i].p;
	}
	errno = ENOMEM;
	return NULL;
}

void *control_plane_zone_lookup(const char *name, size_t *size)
{
	for (int i = 0; i < ZONES; i++) {
		if (!zone[i].p || strcmp(zone[i].name, name) != 0)
			continue;
		if (size)
			*size = zone[i].size;
		return zone[i].p;
	}
	return NULL;
}

static void zone_drop(int i)
{
	free(zone[i].p);
	zone[i].p = NULL;
}

void control_plane_zone_free(const char *name)
{
	for (int i = 0; i < ZONES; i++)
		if (zone[i].p && strcmp(zone[i].name, name) == 0)
			zone_drop(i);
}

unsigned control_plane_zones_sweep(const char *prefix, const char *keep1, const char *keep2)
{
	unsigned n = 0;

	for (int i = 0; i < ZONES; i++) {
		if (!zone[i].p || strncmp(zone[i].name, prefix, strlen(prefix)) != 0 ||
		    (keep1 && strcmp(zone[i].name, keep1) == 0) ||
		    (keep2 && strcmp(zone[i].name, keep2) == 0))
			continue;
		zone_drop(i);
		n++;
	}
	return n;
}

bool control_plane_alive(const struct control_plane *p)
{
	return false;
}

const char *control_plane_state_name(enum control_plane_state s)
{
	return "up";
}

/* --- fixtures ------------------------------------------------------------------------------------
 */

static const char text[] =
	"ports: {inside: {device: net_null0}, outside: {device: net_null1}}\n"
	"services: [{name: echo, address: \"tcp:127.0.0.1:4037\"}]\n"
	"rules: [{name: web, match: {protocol: http}, action: adapt, service: echo}]\n";

static struct policy_image *image_make(uint32_t generation)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy_config *cfg;
	struct policy_image *img = NULL;

	if (policy_config_parse("test", text, sizeof(text) - 1, &cfg, errs) ||
	    policy_compile(cfg, generation, &img, errs))
		fail_msg("%u:%u: %s", errs->e[0].line, errs->e[0].column, errs->e[0].text);
	policy_config_free(cfg);
	free(errs);
	return img;
}

static int setup(void **state)
{
	struct shm_root *root = aligned_alloc(64, sizeof(*root));

	memset(root, 0, sizeof(*root));
	root->workers = 2;
	*state = root;
	zone_full = false;
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < ZONES; i++)
		zone_drop(i);
	free(*state);
	return 0;
}

static int publish(struct control_publish *p, struct shm_root *root, uint64_t now)
{
	struct policy_image *img = image_make(control_publish_next(root));
	int r = control_publish_start(p, root, img, now);

	free(img);
	return r;
}

static void adopt(struct shm_root *root)
{
	memcpy(root->publish.adopted_memzone, root->publish.memzone, sizeof(root->publish.memzone));
	atomic_store(&root->publish.adopted, atomic_load(&root->publish.generation));
}

/* --- publishing ----------------------------------------------------------------------------------
 */

static void publishes_and_frees_the_older(void **state)
{
	struct shm_root *root = *state;
	struct control_publish p;

	control_publish_attach(&p, root, 0);
	assert_int_equal(p.state, CONTROL_PUBLISH_IDLE);
	assert_null(control_publish_adopted(root));
	assert_int_equal(publish(&p, root, 0), 0);
	assert_int_equal(control_publish_poll(&p, root, 1), CONTROL_PUBLISH_NOTHING);
	adopt(root);
	assert_int_equal(control_publish_poll(&p, root, 2), CONTROL_PUBLISH_ADOPTED);
	assert_int_equal(policy_image_generation(control_publish_adopted(root)), 1);
	assert_int_equal(publish(&p, root, 3), 0);
	assert_non_null(control_plane_zone_lookup("opes_rules_1", NULL));
	adopt(root);
	assert_int_equal(control_publish_poll(&p, root, 4), CONTROL_PUBLISH_ADOPTED);
	assert_null(control_plane_zone_lookup("opes_rules_1", NULL));
	assert_non_null(control_plane_zone_lookup("opes_rules_2", NULL));
}

/* INV-PUBLISH-1, INV-PUBLISH-2 */
static void nothing_is_published_or_freed_while_one_is_late(void **state)
{
	struct shm_root *root = *state;
	struct control_publish p;

	control_publish_attach(&p, root, 0);
	assert_int_equal(publish(&p, root, 0), 0);
	adopt(root);
	assert_int_equal(control_publish_poll(&p, root, 1), CONTROL_PUBLISH_ADOPTED);
	assert_int_equal(publish(&p, root, 10), 0);
	assert_int_equal(publish(&p, root, 11), -EBUSY);
	assert_int_equal(control_publish_poll(&p, root, 10 + CONTROL_PUBLISH_TIMEOUT_US),
			 CONTROL_PUBLISH_TIMEOUT);
	assert_int_equal(control_publish_poll(&p, root, 20 + CONTROL_PUBLISH_TIMEOUT_US),
			 CONTROL_PUBLISH_NOTHING);
	assert_int_equal(publish(&p, root, 21 + CONTROL_PUBLISH_TIMEOUT_US), -EBUSY);
	assert_non_null(control_plane_zone_lookup("opes_rules_1", NULL));
	assert_non_null(control_plane_zone_lookup("opes_rules_2", NULL));
	adopt(root);
	assert_int_equal(control_publish_poll(&p, root, UINT64_MAX), CONTROL_PUBLISH_ADOPTED);
	assert_null(control_plane_zone_lookup("opes_rules_1", NULL));
}

static void a_refused_generation_is_freed_and_not_used_again(void **state)
{
	struct shm_root *root = *state;
	struct control_publish p;

	control_publish_attach(&p, root, 0);
	assert_int_equal(publish(&p, root, 0), 0);
	adopt(root);
	control_publish_poll(&p, root, 1);
	assert_int_equal(publish(&p, root, 2), 0);
	atomic_store(&root->publish.refused, 2);
	assert_int_equal(control_publish_poll(&p, root, 3), CONTROL_PUBLISH_REFUSED);
	assert_null(control_plane_zone_lookup("opes_rules_2", NULL));
	assert_non_null(control_plane_zone_lookup("opes_rules_1", NULL));
	assert_int_equal(control_publish_next(root), 3);
}

static void a_successor_takes_up_what_is_pending(void **state)
{
	struct shm_root *root = *state;
	struct control_publish p, next;

	control_publish_attach(&p, root, 0);
	assert_int_equal(publish(&p, root, 0), 0);
	control_plane_zone_reserve("opes_rules_9", 100); /* of one that died before it published */
	control_publish_attach(&next, root, 5);
	assert_int_equal(next.state, CONTROL_PUBLISH_PENDING);
	assert_int_equal(publish(&next, root, 6), -EBUSY);
	assert_non_null(control_plane_zone_lookup("opes_rules_9", NULL));
	adopt(root);
	assert_int_equal(control_publish_poll(&next, root, 7), CONTROL_PUBLISH_ADOPTED);
	assert_null(control_plane_zone_lookup("opes_rules_9", NULL));
	assert_non_null(control_plane_zone_lookup("opes_rules_1", NULL));
}

static void without_memory_nothing_is_published(void **state)
{
	struct shm_root *root = *state;
	struct control_publish p;

	control_publish_attach(&p, root, 0);
	zone_full = true;
	assert_int_equal(publish(&p, root, 0), -ENOMEM);
	assert_int_equal(p.state, CONTROL_PUBLISH_IDLE);
	assert_int_equal(atomic_load(&root->publish.generation), 0);
}

/* --- events --------------------------------------------------------------------------------------
 */

static void event(struct shm_root *root, unsigned ring, const char *kind)
{
	struct shm_event_args a = {.kind = kind, .offset = UINT64_MAX};

	shm_event_write(&root->events[ring], &a, "%s", "");
}

static void kinds(const struct control_events *ev, char *out, size_t len)
{
	json_t *list = control_events_list(ev, 0, 1000), *e;
	size_t i, n = 0;

	out[0] = '\0';
	json_array_foreach(list, i, e) n +=
		(size_t)snprintf(out + n, len - n, "%s%s", n ? " " : "",
				 json_string_value(json_object_get(e, "kind")));
	json_decref(list);
}

static void events_come_in_order_once(void **state)
{
	struct shm_root *root = *state;
	struct control_shared shared = {0};
	static struct control_events ev;
	char seen[256];

	control_events_init(&ev);
	event(root, 0, "a");
	event(root, SHM_WORKERS_MAX, "b");
	event(root, 1, "c");
	/* one clock tick may hold several events */
	for (int i = 0; i < 3; i++)
		root->events[i == 2 ? 1 : i ? SHM_WORKERS_MAX : 0].e[0].time_us = 100 + (uint64_t)i;
	assert_int_equal(control_events_drain(&ev, root, &shared), 3);
	assert_int_equal(control_events_drain(&ev, root, &shared), 0);
	kinds(&ev, seen, sizeof(seen));
	assert_string_equal(seen, "a b c");
	assert_int_equal(shared.next_seq, 4);
	control_events_free(&ev);
}

static void a_successor_recalls_and_goes_on(void **state)
{
	struct shm_root *root = *state;
	struct control_shared shared = {0};
	static struct control_events ev, next;
	char seen[256];

	control_events_init(&ev);
	control_events_own(&ev, "own", NULL, 0, "x");
	event(root, 0, "a");
	control_events_drain(&ev, root, &shared);
	event(root, 0, "b");
	control_events_init(&next);
	control_events_recall(&next, root, &shared);
	kinds(&next, seen, sizeof(seen));
	assert_string_equal(seen, "a");
	assert_int_equal(next.next, ev.next);
	assert_int_equal(control_events_drain(&next, root, &shared), 1);
	kinds(&next, seen, sizeof(seen));
	assert_string_equal(seen, "a b");
	assert_int_equal(next.next, ev.next + 1);
	control_events_free(&ev);
	control_events_free(&next);
}

static void overwritten_events_are_counted(void **state)
{
	struct shm_root *root = *state;
	struct control_shared shared = {0};
	static struct control_events ev;
	json_t *list;

	control_events_init(&ev);
	for (int i = 0; i < SHM_EVENTS + 5; i++)
		event(root, 0, "x");
	assert_int_equal(control_events_drain(&ev, root, &shared), SHM_EVENTS + 1);
	list = control_events_list(&ev, 0, 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "kind")),
			    "events-lost");
	assert_memory_equal(json_string_value(json_object_get(json_array_get(list, 0), "text")),
			    "5 ", 2);
	json_decref(list);
	control_events_free(&ev);
}

static void kept_events_survive_a_new_beginning(void **state)
{
	static struct control_events ev, next;
	json_t *saved;
	char seen[256];

	control_events_init(&ev);
	control_events_own(&ev, "one", "why", 3, "x");
	control_events_own(&ev, "two", NULL, 0, "y");
	saved = control_events_save(&ev);
	control_events_init(&next);
	control_events_load(&next, saved);
	json_decref(saved);
	kinds(&next, seen, sizeof(seen));
	assert_string_equal(seen, "one two");
	assert_int_equal(next.next, 3);
	control_events_free(&ev);
	control_events_free(&next);
}

static void the_list_keeps_its_bounds(void **state)
{
	static struct control_events ev;
	json_t *list;

	control_events_init(&ev);
	for (int i = 0; i < CONTROL_EVENTS_KEPT + 10; i++)
		control_events_add(&ev, json_pack("{s:s}", "kind", "x"), false);
	list = control_events_list(&ev, 0, UINT64_MAX);
	assert_int_equal(json_array_size(list), CONTROL_EVENTS_KEPT);
	json_decref(list);
	list = control_events_list(&ev, ev.next - 3, 100);
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	list = control_events_list(&ev, UINT64_MAX - 1, 100);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	list = control_events_list(&ev, 0, 0);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	control_events_free(&ev);
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

static void text_is_bounded_and_valid(void **state)
{
	char raw[4] = {'a', 'b', 'c', 'd'}, wrong[4] = {'a', (char)0xff, 'b', 0};
	json_t *o = control_json_text(raw, sizeof(raw));

	assert_string_equal(json_string_value(o), "abcd");
	json_decref(o);
	o = control_json_text(wrong, sizeof(wrong));
	assert_string_equal(json_string_value(o), "a?b");
	json_decref(o);
	o = control_json_time(1700000000123456);
	assert_string_equal(json_string_value(o), "2023-11-14T22:13:20.123456Z");
	json_decref(o);
}

static void flows_name_both_families(void **state)
{
	struct shm_flow_row r = {.client = {[10] = 0xff, 0xff, 10, 1, 2, 3},
				 .client_port = 40000,
				 .server = {0x20, 0x01, 0x0d, 0xb8, [15] = 1},
				 .server_port = 80};
	json_t *o = control_json_flow(&r, 0);

	assert_string_equal(json_string_value(json_object_get(o, "client")), "10.1.2.3:40000");
	assert_string_equal(json_string_value(json_object_get(o, "server")), "[2001:db8::1]:80");
	json_decref(o);
}

static void a_flow_in_full(void **state)
{
	struct shm_root *root = *state;
	struct shm_flow_detail d = {.row = {.id = 0x2a, .state = "open"}, .client_port = 1, .joined = 1};
	const json_t *half, *pipe;
	json_t *o;

	strcpy(root->port[1].name, "outside");
	d.delta[0] = 7;
	d.delta[1] = UINT32_MAX - 299;
	d.half[1] = (struct shm_half_detail){.present = 1, .state = "closing", .snd_una = UINT32_MAX, .snd_wscale = 9,
					     .ssthresh = SHM_UNKNOWN32, .timer_us = SHM_UNKNOWN, .rtos = 3, .sack = 1};
	d.pipe[0] = (struct shm_pipe_detail){.mode = "http", .octets = 1ull << 40, .identity = SHM_UNKNOWN, .offset = 0};
	o = control_json_flow_detail(&d, 0, root);
	assert_string_equal(json_string_value(json_object_get(o, "flow")), "2a");
	assert_string_equal(json_string_value(json_object_get(o, "client_port")), "outside");
	assert_int_equal(json_integer_value(json_object_get(o, "delta_from_client")), 7);
	assert_int_equal(json_integer_value(json_object_get(o, "delta_from_server")), -300);
	assert_int_equal(json_array_size(json_object_get(o, "halves")), 1);
	half = json_array_get(json_object_get(o, "halves"), 0);
	assert_string_equal(json_string_value(json_object_get(half, "towards")), "server");
	assert_string_equal(json_string_value(json_object_get(half, "state")), "closing");
	/* a sequence number may be all ones */
	assert_int_equal(json_integer_value(json_object_get(half, "snd_una")), UINT32_MAX);
	assert_int_equal(json_integer_value(json_object_get(half, "snd_wscale")), 9);
	assert_int_equal(json_integer_value(json_object_get(half, "rtos")), 3);
	assert_true(json_is_null(json_object_get(half, "ssthresh")));
	assert_true(json_is_null(json_object_get(half, "timer_us")));
	assert_true(json_is_true(json_object_get(half, "sack")));
	assert_true(json_is_false(json_object_get(half, "rx_finished")));
	/* every field but "present" */
	assert_int_equal(json_object_size(half), 37);
	assert_int_equal(json_array_size(json_object_get(o, "directions")), 1);
	pipe = json_array_get(json_object_get(o, "directions"), 0);
	assert_int_equal(json_integer_value(json_object_get(pipe, "octets")), 1ll << 40);
	assert_true(json_is_null(json_object_get(pipe, "identity")));
	assert_true(json_is_integer(json_object_get(pipe, "offset")));
	json_decref(o);
	d.joined = 0;
	o = control_json_flow_detail(&d, 0, root);
	assert_null(json_object_get(o, "delta_from_client"));
	json_decref(o);
}

/* Workers share the pool of packet buffers: its figures are not added up. */
static void totals_of_gauges(void **state)
{
	struct shm_root *root = *state;
	json_t *o, *total;

	for (int w = 0; w < 2; w++) {
		root->worker[w].gauge.flows = 3;
		root->worker[w].gauge.mbufs_total = 100;
	}
	o = control_json_buffers(root);
	total = json_object_get(o, "total");
	assert_int_equal(json_integer_value(json_object_get(total, "flows")), 6);
	assert_int_equal(json_integer_value(json_object_get(total, "mbufs_total")), 100);
	assert_int_equal(json_array_size(json_object_get(o, "workers")), 2);
	json_decref(o);
}

static void rules_and_services_are_listed(void **state)
{
	struct policy_image *img = image_make(4);
	json_t *rules = control_json_rules(img), *services = control_json_services(img, NULL);
	const json_t *r = json_array_get(rules, 0), *s = json_array_get(services, 0);

	assert_int_equal(json_array_size(rules), 1);
	assert_string_equal(json_string_value(json_object_get(r, "name")), "web");
	assert_string_equal(json_string_value(json_object_get(r, "service")), "echo");
	assert_string_equal(json_string_value(json_object_get(s, "state")), "unknown");
	json_decref(rules);
	json_decref(services);
	free(img);
}

/* --- DPDK's locks --------------------------------------------------------------------------------
 */

/* Words 4, 5 and 8 are locks: readers count by 4, a writer is 2, a waiting writer 1. */
static int32_t *config_file(char path[32])
{
	uint32_t head[16] = {RTE_MAGIC, RTE_VERSION};
	int32_t *m;
	int fd;

	strcpy(path, "/tmp/control_unit_XXXXXX");
	fd = mkstemp(path);
	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	m = mmap(NULL, sizeof(head), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(m, MAP_FAILED);
	close(fd);
	return m;
}

static void locks_of_the_dead_are_released(void **state)
{
	struct control_locks l = {0};
	unsigned n;
	char path[32];
	int32_t *m = config_file(path);

	assert_int_equal(control_locks_look(&l, path, 0, &n), 0);
	m[8] = 4 + 1; /* a reader died, a writer waits */
	assert_int_equal(control_locks_look(&l, path, 10, &n), 1);
	assert_int_equal(control_locks_look(&l, path, 400000, &n), 1);
	assert_int_equal(n, 0);
	assert_int_equal(m[8], 5);
	assert_int_equal(control_locks_look(&l, path, 600000, &n), 1);
	assert_int_equal(n, 1);
	assert_int_equal(m[8], 1); /* the writer's turn */
	m[8] = 0;
	assert_int_equal(control_locks_look(&l, path, 700000, &n), 0);
	m[4] = 2; /* a writer may take its time */
	assert_int_equal(control_locks_look(&l, path, 1000000, &n), 1);
	assert_int_equal(control_locks_look(&l, path, 6000000, &n), 1);
	assert_int_equal(m[4], 2);
	assert_int_equal(control_locks_look(&l, path, 10000000, &n), 1);
	assert_int_equal(m[4], 0);
	m[5] = 1; /* a waiting writer died: its mark keeps readers out */
	assert_int_equal(control_locks_look(&l, path, 20000000, &n), 1);
	assert_int_equal(control_locks_look(&l, path, 20600000, &n), 1);
	assert_int_equal(m[5], 0);
	assert_int_equal(control_locks_look(&l, path, 20700000, &n), 0);
	unlink(path);
	munmap(m, 64);
}

static void locks_of_the_living_stay(void **state)
{
	struct control_locks l = {0};
	unsigned n;
	char path[32];
	int32_t *m = config_file(path);

	m[8] = 8;
	assert_int_equal(control_locks_look(&l, path, 0, &n), 1);
	m[8] = 4; /* one of two went: the other may be dead */
	assert_int_equal(control_locks_look(&l, path, 300000, &n), 1);
	m[8] = 12;
	assert_int_equal(control_locks_look(&l, path, 600000, &n), 1);
	assert_int_equal(m[8], 8);
	m[8] = 0;
	assert_int_equal(control_locks_look(&l, path, 700000, &n), 0);
	m[8] = 4;
	assert_int_equal(control_locks_look(&l, path, 800000, &n), 1);
	m[8] = 0;
	assert_int_equal(control_locks_look(&l, path, 900000, &n), 0);
	m[1] = 0; /* another release of DPDK */
	m[8] = 4;
	assert_true(control_locks_look(&l, path, 1000000, &n) < 0);
	assert_int_equal(m[8], 4);
	unlink(path);
	munmap(m, 64);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(publishes_and_frees_the_older),
		T(nothing_is_published_or_freed_while_one_is_late),
		T(a_refused_generation_is_freed_and_not_used_again),
		T(a_successor_takes_up_what_is_pending),
		T(without_memory_nothing_is_published),
		T(events_come_in_order_once),
		T(a_successor_recalls_and_goes_on),
		T(overwritten_events_are_counted),
		T(kept_events_survive_a_new_beginning),
		T(the_list_keeps_its_bounds),
		T(text_is_bounded_and_valid),
		T(flows_name_both_families),
		T(a_flow_in_full),
		T(totals_of_gauges),
		T(rules_and_services_are_listed),
		T(locks_of_the_dead_are_released),
		T(locks_of_the_living_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
