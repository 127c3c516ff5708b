/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_locks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_rwlock.h>
#include <rte_version.h>

#define SAMPLES 20
#define SAMPLE_US 100

/* Beginning of DPDK's configuration file, of this release; the version in it is compared before
 * anything is touched. */
struct config_head {
	uint32_t magic, version, channels, ranks;
	rte_rwlock_t memzones, tailqs, mempools;
	uint32_t timer;
	rte_rwlock_t memory;
};
_Static_assert(sizeof(struct config_head) == 36, "as DPDK lays it out");
_Static_assert(RTE_VER_YEAR == 22 && RTE_VER_MONTH == 11, "layout known for DPDK 22.11 only");

static void lock_sample(struct control_locks *l, int i, rte_rwlock_t *lock)
{
	int32_t v = __atomic_load_n(&lock->cnt, __ATOMIC_ACQUIRE);
	uint32_t readers = v > 0 ? (uint32_t)v / RTE_RWLOCK_READ : 0;

	if (readers < l->lock[i].readers)
		l->lock[i].readers = readers;
	l->lock[i].writer &= (v & RTE_RWLOCK_WRITE) != 0;
	l->lock[i].waiting &= (v & RTE_RWLOCK_WAIT) != 0;
}

static bool held(const struct control_locks *l, int i)
{
	return l->lock[i].readers || l->lock[i].writer || l->lock[i].waiting;
}

/* What stood all the time belongs to the dead; what came and went to the living, and stays. */
static unsigned lock_release(const struct control_locks *l, int i, rte_rwlock_t *lock,
			     uint64_t watched_us)
{
	int32_t v;

	if (!held(l, i) || watched_us < CONTROL_LOCKS_READ_US)
		return 0;
	if (l->lock[i].writer && watched_us < CONTROL_LOCKS_WRITE_US)
		return 0;
	v = (int32_t)(l->lock[i].readers * RTE_RWLOCK_READ);
	if (l->lock[i].writer)
		v += RTE_RWLOCK_WRITE;
	if (v)
		__atomic_fetch_sub(&lock->cnt, v, __ATOMIC_RELEASE);
	/* a writer that still waits takes the lock now, and its mark with it */
	if (!v && l->lock[i].waiting)
		__atomic_fetch_and(&lock->cnt, ~RTE_RWLOCK_WAIT, __ATOMIC_RELEASE);
	return 1;
}

static void watch_begin(struct control_locks *l, uint64_t now_us)
{
	l->watching = true;
	l->since_us = now_us;
	for (int i = 0; i < CONTROL_LOCKS; i++) {
		l->lock[i].readers = UINT32_MAX;
		l->lock[i].writer = l->lock[i].waiting = true;
	}
}

static int head_look(struct control_locks *l, struct config_head *h, uint64_t now_us,
		     unsigned *released)
{
	rte_rwlock_t *lock[CONTROL_LOCKS] = {&h->memzones, &h->tailqs, &h->memory};
	bool any = false;

	if (h->magic != RTE_MAGIC || h->version != RTE_VERSION)
		return -EPROTO;
	if (!l->watching)
		watch_begin(l, now_us);
	for (int s = 0; s < SAMPLES; s++) {
		any = false;
		for (int i = 0; i < CONTROL_LOCKS; i++) {
			lock_sample(l, i, lock[i]);
			any |= held(l, i);
		}
		if (!any)
			break;
		usleep(SAMPLE_US);
	}
	for (int i = 0; any && i < CONTROL_LOCKS; i++)
		*released += lock_release(l, i, lock[i], now_us - l->since_us);
	if (!any || *released)
		l->watching = false;
	return any ? 1 : 0;
}

int control_locks_look(struct control_locks *l, const char *path, uint64_t now_us,
		       unsigned *released)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), r;
	struct config_head *h;

	*released = 0;
	if (fd < 0)
		return -errno;
	h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r = -errno;
	/* a file without its first page cannot be a ready primary's, which the caller has made sure
	 * of */
	close(fd);
	if (h == MAP_FAILED)
		return r;
	r = head_look(l, h, now_us, released);
	munmap(h, sizeof(*h));
	return r;
}
