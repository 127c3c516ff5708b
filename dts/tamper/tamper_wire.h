/* SPDX-License-Identifier: BSD-3-Clause */
/* The cable of opes-tamper: two packet sockets with a stage for each direction between them. One thread. */
#ifndef TAMPER_WIRE_H
#define TAMPER_WIRE_H

#include <net/if.h>
#include <stdio.h>

#include "tamper/tamper.h"
#include "tamper/tamper_options.h"

#define WIRE_BURST    64
#define WIRE_HEADROOM 4 /* a VLAN tag that the kernel has taken out goes back in here */

struct wire_frame {
	struct wire_frame *next; /* in the free list */
	uint32_t at, len;
	uint8_t data[];
};

struct wire_end {
	char name[IFNAMSIZ];
	int fd;
	/* What this end could not take from the kernel or give to it; none of it is in the stage's counters. */
	uint64_t rx_overrun, rx_too_long, rx_unfinished, tx_dropped, tx_failed;
	int tx_errno;
};

struct wire {
	struct wire_end end[2];
	struct tamper stage[2]; /* [0]: from end 0 to end 1 */
	struct wire_frame *spare;
	uint32_t frame_max;
	uint64_t began, late_sum, late_n, late_max, wakes;
};

/* Both ends open: frames that come wait in the sockets. -1 with the reason in error; wire_close() is to be called anyway. */
int wire_open(struct wire *w, const struct tamper_options *o, char error[TAMPER_ERROR_MAX]);
void wire_close(struct wire *w);
uint64_t wire_now(void);
/* Takes what has come to an end into the stage; false when there was nothing more than that. */
bool wire_receive(struct wire *w, unsigned from);
/* Sends what is due. */
void wire_send(struct wire *w);
uint64_t wire_due(const struct wire *w);
/* A line of JSON. */
void wire_report(struct wire *w, FILE *f);

#endif
