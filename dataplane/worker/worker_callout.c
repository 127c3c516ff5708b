/* SPDX-License-Identifier: BSD-3-Clause */
/* The callout stage: on an lcore of its own, or in turn with a worker. */
#include "worker/worker.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <rte_cycles.h>
#include <rte_pause.h>

static void services_adopt(struct worker_callout *c)
{
	struct ctl_rules *r = atomic_load_explicit(&c->slot->offered, memory_order_acquire);

	if (likely(r->generation == c->generation))
		return;
	/* Services that could not be taken over are treated as unreachable by the stage; the rules
	 * go on. */
	callout_lcore_adopt(c->lcore, r->image);
	c->generation = r->generation;
	atomic_store_explicit(&c->slot->drained, r->generation, memory_order_release);
	atomic_store_explicit(&c->slot->switched, r->generation, memory_order_release);
}

uint32_t worker_callout_round(struct worker_callout *c, uint64_t now_us)
{
	services_adopt(c);
	return callout_lcore_poll(c->lcore, now_us);
}

/* Asked with poll: epoll_wait would take the events, which are edge-triggered and the stage's. */
void worker_callout_rest(const struct worker_callout *c, const struct timespec *ts)
{
	struct pollfd p = {.fd = c->epoll_fd, .events = POLLIN};

	ppoll(&p, 1, ts, NULL);
}

int worker_callout_main(void *arg)
{
	struct worker_callout *c = arg;
	uint32_t idle = 0;

	prctl(PR_SET_TIMERSLACK, 1);
	while (!atomic_load_explicit(c->quit, memory_order_relaxed)) {
		struct timespec ts = {.tv_nsec = WORKER_SLEEP_MIN_NS};

		if (worker_callout_round(c, worker_clock_us(c->clock, rte_rdtsc()))) {
			idle = 0;
			continue;
		}
		if (!c->backoff || ++idle <= WORKER_SPIN_LOOPS) {
			rte_pause();
			continue;
		}
		/* A ring cannot end the sleep, so it is short; a socket can. */
		if (idle > WORKER_QUIET_LOOPS)
			ts.tv_nsec = WORKER_SLEEP_QUIET_NS;
		else if (idle > WORKER_SPIN_LOOPS + 64)
			ts.tv_nsec = WORKER_SLEEP_MAX_NS;
		else if (idle > WORKER_SPIN_LOOPS + 16)
			ts.tv_nsec = WORKER_SLEEP_BUSY_NS;
		worker_callout_rest(c, &ts);
	}
	return 0;
}
