/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside libocp: the callout server agent. */
#ifndef OCP_SERVER_PRIVATE_H
#define OCP_SERVER_PRIVATE_H

#include "ocp/ocp_agent.h"
#include "ocp/ocp_server.h"

struct ocp_server {
	struct ocp_agent a; /* first: the role's functions get this pointer */
	struct ocp_server_ops ops;
	bool ack_all;
	int32_t priority;
	int64_t last_xid;	    /* -1: none yet */
	char *service;		    /* the connection's default: URI, then the other members */
	struct ocp_uri service_uri; /* inside service; uri.p NULL: none */
};

extern const struct ocp_role ocp_server_role;
#endif
