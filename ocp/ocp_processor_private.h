/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside libocp: the processor agent. */
#ifndef OCP_PROCESSOR_PRIVATE_H
#define OCP_PROCESSOR_PRIVATE_H

#include "ocp/ocp_agent.h"
#include "ocp/ocp_processor.h"

#define OCP_ORIGINAL                                                                               \
	1 /* am-id of every original: the processor's are odd, and it has one per transaction */

struct ocp_processor {
	struct ocp_agent a; /* first: the role's functions get this pointer */
	struct ocp_processor_ops ops;
	uint32_t next_xid;
	uint32_t deadline_grace;
	bool default_service;
};

extern const struct ocp_role ocp_processor_role;
#endif
