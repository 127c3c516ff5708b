/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: what the callout server agent knows about a transaction in the core dialect, beside
 * struct ocp_xaction. Offsets are of the dataflow they stand with. In core, ocp_xaction.kept holds the octets that
 * the owner has not given up yet, whether the processor keeps them or not.
 */
#ifndef OCP_SERVER_FLOW_H
#define OCP_SERVER_FLOW_H

#include "ocp/ocp.h"

struct ocp_group;
struct ocp_profile;

struct ocp_server_flow {
	struct ocp_group *group;
	const struct ocp_profile *profile; /* agreed when the transaction began; NULL: none */

	/* original */
	enum ocp_part part;		   /* of the last DUM */
	uint64_t main_from;		   /* first octet that is not auxiliary; UINT64_MAX: none yet */
	uint64_t kept_from, kept_to;	   /* Kept */
	uint64_t interest_from, interest_to; /* our DPI, or Preservation-Interest-Body */
	bool body;			   /* the main body has begun */
	bool kept_bad;			   /* a Kept broke the rules: none of it is used (section 11.9) */
	bool reused;			   /* DUY sent */
	bool stop_receiving;		   /* DWSR sent */
	bool peer_done;			   /* TE {200} received: the processor says nothing more */

	/* adapted */
	enum ocp_part adapted_part; /* of the last DUM or DUY */
	uint64_t pause_at;	    /* DWP received; UINT64_MAX: no */
	int32_t modp, modp_sent;    /* to send with the next DUM; sent last. -1: none */
	bool begun;		    /* AMS sent */
	bool done;		    /* AME sent */
	bool paused;		    /* DPM sent */
	bool stop_sending;	    /* DWSS sent */
	bool may_stop;		    /* DSS received */
};
#endif
