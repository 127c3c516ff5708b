/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ctl_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#define IMAGE_ALIGN 4096

static void rules_free(struct ctl_rules *x)
{
	if (!x)
		return;
	for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
		if (x->matcher[i])
			policy_matcher_destroy(x->matcher[i]);
	}
	rte_free(x->image);
	free(x);
}

/* Copies size octets at mem and makes what the workers need. why: for shm_publish.reason. */
static int rules_make(struct ctl_rules **out, const struct ctl_rules_main *r, const void *mem,
		      size_t size, const char **why)
{
	struct ctl_rules *x = calloc(1, sizeof(*x));
	int rc = -ENOMEM;

	*why = "no memory for the image";
	if (!x)
		return rc;
	x->image = rte_malloc_socket("opes_image", size, IMAGE_ALIGN, r->socket_id);
	if (!x->image)
		goto fail;
	memcpy(x->image, mem, size);
	/* The copy is checked, not the original: nobody can change it any more. */
	rc = policy_image_check(x->image, size);
	*why = "the image is not whole or of another version";
	if (rc)
		goto fail;
	x->generation = policy_image_generation(x->image);
	for (uint32_t i = 0; i < policy_image_rules(x->image); i++)
		x->selects |= !policy_passes(policy_image_rule(x->image, i)->action);
	*why = "no memory for the matchers of the image";
	for (unsigned i = 0; i < r->workers; i++) {
		rc = policy_matcher_create(&x->matcher[i], x->image, r->socket_id);
		if (rc)
			goto fail;
	}
	*out = x;
	return 0;
fail:
	rules_free(x);
	return rc;
}

/* Where control finds the first image, as if it had published it itself. Without it control can
 * still work. */
static void first_to_memzone(struct ctl_rules *x)
{
	size_t size = policy_image_size(x->image);
	const struct rte_memzone *mz;

	snprintf(x->memzone, sizeof(x->memzone), CTL_RULES_MEMZONE "%u", x->generation);
	mz = rte_memzone_reserve_aligned(x->memzone, size, SOCKET_ID_ANY, 0, IMAGE_ALIGN);
	if (mz)
		memcpy(mz->addr, x->image, size);
	else
		x->memzone[0] = '\0';
}

static void say_adopted(struct ctl_rules_main *r, const struct ctl_rules *x)
{
	memcpy(r->shm->publish.adopted_memzone, x->memzone, sizeof(x->memzone));
	atomic_store_explicit(&r->shm->publish.adopted, x->generation,
			      memory_order_release); /* P1 */
}

static void say_refused(struct ctl_rules_main *r, uint32_t generation, const char *why)
{
	snprintf(r->shm->publish.reason, sizeof(r->shm->publish.reason), "%s", why);
	atomic_store_explicit(&r->shm->publish.refused, generation, memory_order_release);
}

static void offer(struct ctl_rules_slot *s, struct ctl_rules *x)
{
	atomic_store_explicit(&s->offered, x, memory_order_release);
}

int ctl_rules_init(struct ctl_rules_main *r, struct shm_root *shm, unsigned workers, int socket_id,
		   const struct policy_image *first)
{
	const char *why;
	int rc;

	memset(r, 0, sizeof(*r));
	r->shm = shm;
	r->workers = workers;
	r->socket_id = socket_id;
	rc = rules_make(&r->current, r, first, policy_image_size(first), &why);
	if (rc)
		return rc;
	first_to_memzone(r->current);
	for (unsigned i = 0; i < workers; i++)
		offer(&r->worker[i], r->current);
	offer(&r->callout, r->current);
	atomic_store_explicit(&shm->publish.generation, r->current->generation,
			      memory_order_relaxed);
	say_adopted(r, r->current);
	return 0;
}

static void take_published(struct ctl_rules_main *r)
{
	struct shm_publish *p = &r->shm->publish;
	uint32_t g = atomic_load_explicit(&p->generation, memory_order_acquire); /* P0 */
	const struct rte_memzone *mz;
	char name[sizeof(p->memzone) + 1];
	const char *why;

	if (g == r->current->generation ||
	    g == atomic_load_explicit(&p->refused, memory_order_relaxed))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)sizeof(p->memzone), p->memzone);
	/* Looked up by name, not by address: what is not a memzone of ours is not read. */
	mz = rte_memzone_lookup(name);
	if (!mz || (uint64_t)(uintptr_t)mz->addr != p->address || p->size > mz->len ||
	    p->size == 0) {
		say_refused(r, g, "the published memory does not exist");
		return;
	}
	if (rules_make(&r->coming, r, mz->addr, p->size, &why) != 0) {
		r->coming = NULL;
		say_refused(r, g, why);
		return;
	}
	if (r->coming->generation != g) {
		rules_free(r->coming);
		r->coming = NULL;
		say_refused(r, g, "the image carries another generation than the one published");
		return;
	}
	memcpy(r->coming->memzone, name, sizeof(r->coming->memzone));
	/* Services first: a worker that selects by the new rules finds their services known. */
	offer(&r->callout, r->coming);
	r->state = CTL_RULES_OFFERED;
}

static bool has_switched(const struct ctl_rules_slot *s, uint32_t generation)
{
	return atomic_load_explicit((_Atomic uint32_t *)&s->switched, memory_order_acquire) ==
	       generation;
}

static void retire_run(struct ctl_rules_main *r)
{
	struct ctl_rules **pp = &r->retired, *x;
	uint32_t oldest = UINT32_MAX;

	if (!r->retired)
		return;
	for (unsigned i = 0; i < r->workers; i++) {
		uint32_t d = atomic_load_explicit(&r->worker[i].drained, memory_order_acquire);

		oldest = d < oldest ? d : oldest;
	}
	while ((x = *pp)) {
		if (x->generation < oldest) { /* INV-RULES-2 */
			*pp = x->next;
			rules_free(x);
		} else {
			pp = &x->next;
		}
	}
}

void ctl_rules_poll(struct ctl_rules_main *r)
{
	switch (r->state) {
	case CTL_RULES_IDLE:
		take_published(r);
		retire_run(r);
		break;
	case CTL_RULES_OFFERED:
		if (!has_switched(&r->callout, r->coming->generation))
			break;
		for (unsigned i = 0; i < r->workers; i++)
			offer(&r->worker[i], r->coming);
		r->state = CTL_RULES_SWITCHING;
		break;
	case CTL_RULES_SWITCHING:
		for (unsigned i = 0; i < r->workers; i++) {
			if (!has_switched(&r->worker[i], r->coming->generation))
				return;
		}
		r->current->next = r->retired;
		r->retired = r->current;
		r->current = r->coming;
		r->coming = NULL;
		r->state = CTL_RULES_IDLE;
		say_adopted(r, r->current);
		break;
	}
}

void ctl_rules_fini(struct ctl_rules_main *r)
{
	struct ctl_rules *x;

	while ((x = r->retired)) {
		r->retired = x->next;
		rules_free(x);
	}
	rules_free(r->coming);
	rules_free(r->current);
	r->coming = r->current = NULL;
}
