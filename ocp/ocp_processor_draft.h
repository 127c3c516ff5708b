/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside libocp: between the files of the processor's draft dialect. */
#ifndef OCP_PROCESSOR_DRAFT_H
#define OCP_PROCESSOR_DRAFT_H

#include "ocp/ocp_processor_private.h"

void ocp_processor_draft_message(struct ocp_agent *a, const struct ocp_msg *m);
#endif
