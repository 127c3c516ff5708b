/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_publish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control_plane.h"
#include "policy/policy.h"
#include "stats/shm.h"

static uint32_t acquire(const _Atomic uint32_t *p)
{
	return atomic_load_explicit((_Atomic uint32_t *)p, memory_order_acquire);
}

static void sweep(struct shm_root *root)
{
	char adopted[sizeof(root->publish.adopted_memzone) + 1];

	snprintf(adopted, sizeof(adopted), "%.*s", (int)sizeof(root->publish.adopted_memzone),
		 root->publish.adopted_memzone);
	control_plane_zones_sweep(CONTROL_RULES_PREFIX, adopted, NULL);
}

void control_publish_attach(struct control_publish *p, struct shm_root *root, uint64_t now_us)
{
	uint32_t g = acquire(&root->publish.generation);

	memset(p, 0, sizeof(*p));
	if (g == acquire(&root->publish.adopted) || g == acquire(&root->publish.refused)) {
		sweep(root);
		return;
	}
	p->state = CONTROL_PUBLISH_PENDING;
	p->generation = g;
	p->deadline_us = now_us + CONTROL_PUBLISH_TIMEOUT_US;
}

uint32_t control_publish_next(const struct shm_root *root)
{
	uint32_t g = acquire(&root->publish.generation), a = acquire(&root->publish.adopted);

	return (g > a ? g : a) + 1;
}

int control_publish_start(struct control_publish *p, struct shm_root *root,
			  const struct policy_image *img, uint64_t now_us)
{
	uint32_t g = policy_image_generation(img);
	size_t size = policy_image_size(img);
	char name[sizeof(root->publish.memzone)];
	void *zone;

	if (p->state != CONTROL_PUBLISH_IDLE)
		return -EBUSY;
	snprintf(name, sizeof(name), CONTROL_RULES_PREFIX "%u", g);
	control_plane_zone_free(name); /* of a control that died before it published */
	zone = control_plane_zone_reserve(name, size);
	if (!zone)
		return -ENOMEM;
	memcpy(zone, img, size);
	if (policy_image_check(zone, size)) {
		control_plane_zone_free(name);
		return -EINVAL;
	}
	root->publish.address = (uint64_t)(uintptr_t)zone;
	root->publish.size = size;
	memcpy(root->publish.memzone, name, sizeof(name));
	atomic_store_explicit(&root->publish.generation, g, memory_order_release); /* P0 */
	p->state = CONTROL_PUBLISH_PENDING;
	p->generation = g;
	p->deadline_us = now_us + CONTROL_PUBLISH_TIMEOUT_US;
	return 0;
}

enum control_publish_result control_publish_poll(struct control_publish *p, struct shm_root *root,
						 uint64_t now_us)
{
	enum control_publish_result r = CONTROL_PUBLISH_NOTHING;

	if (p->state == CONTROL_PUBLISH_IDLE)
		return r;
	if (acquire(&root->publish.adopted) == p->generation) /* P1 */
		r = CONTROL_PUBLISH_ADOPTED;
	else if (acquire(&root->publish.refused) == p->generation)
		r = CONTROL_PUBLISH_REFUSED;
	if (r != CONTROL_PUBLISH_NOTHING) {
		p->state = CONTROL_PUBLISH_IDLE;
		sweep(root);
		return r;
	}
	if (p->state == CONTROL_PUBLISH_PENDING && now_us >= p->deadline_us) {
		p->state = CONTROL_PUBLISH_LATE;
		return CONTROL_PUBLISH_TIMEOUT;
	}
	return r;
}

const struct policy_image *control_publish_adopted(const struct shm_root *root)
{
	char name[sizeof(root->publish.adopted_memzone) + 1];
	size_t size;
	void *zone;

	snprintf(name, sizeof(name), "%.*s", (int)sizeof(root->publish.adopted_memzone),
		 root->publish.adopted_memzone);
	if (!acquire(&root->publish.adopted) || !name[0])
		return NULL;
	zone = control_plane_zone_lookup(name, &size);
	if (!zone)
		return NULL;
	return policy_image_check(zone, size) ? NULL : zone;
}
