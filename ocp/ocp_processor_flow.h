/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: what the processor agent knows about a transaction in the core dialect, beside struct ocp_xaction.
 * Offsets are of the original unless said otherwise; OCP_NOWHERE: not known or not asked for.
 */
#ifndef OCP_PROCESSOR_FLOW_H
#define OCP_PROCESSOR_FLOW_H

#include "ocp/ocp.h"
#include "ocp/ocp_link.h"

struct ocp_group;
struct ocp_profile;

#define OCP_NOWHERE UINT64_MAX

struct ocp_processor_flow {
	struct ocp_group *group;
	const struct ocp_profile *profile; /* agreed when the transaction began; NULL: none */
	struct ocp_link stalled;	   /* waits for the end of a negotiation phase, or has something to tell; in no list otherwise */

	/* original */
	enum ocp_part part; /* of the last DUM */
	/* where its parts begin: the first one that is not auxiliary, its body, its trailer */
	uint64_t main_at, body_at, trailer_at;
	uint64_t pause_at;	     /* DWP or Pause-At-Body ahead */
	uint64_t stop_at;	     /* DWSR or Stop-Receiving-Body ahead */
	uint64_t reuse_from, reuse_to; /* DPI [11.11] */
	uint64_t acked;		     /* Org-Data */
	int32_t modp;		     /* goes out with the first DUM; -1: none */
	bool stopped;		     /* we ended it with AME 206 ... */
	bool tell_stop;		     /* ... which the owner has not heard */
	bool failed;		     /* ... with AME 400 */
	bool dss;		     /* DSS sent: nothing goes out until the adapted message has ended */
	bool held_by_pause;	     /* beside dss: DPM sent, too */
	uint64_t dss_at;	     /* dss: octets sent before it */

	/* adapted */
	bool begun;		     /* AMS received */
	bool told;		     /* am_start called */
	bool done;		     /* AME received */
	bool wants_pause;	     /* our last word about its flow was DWP */
	bool silent;		     /* DPM received: data is a fault until our DWM */
	enum ocp_part am_part;	     /* of its last octets */
	int64_t am_el;
	char *services; /* AMS Services until am_start; own copy */
	uint32_t services_len;
};
#endif
