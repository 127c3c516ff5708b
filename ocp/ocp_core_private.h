/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside libocp: between the files of ocp_core. */
#ifndef OCP_CORE_PRIVATE_H
#define OCP_CORE_PRIVATE_H

#include "ocp/ocp_core.h"

/* A phase that was open is over, or the first negotiation. */
void ocp_core_phase_over(struct ocp_agent *a);
void ocp_core_groups_free(struct ocp_core *c);
void ocp_core_on_sgc(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_sgd(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_no(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_nr(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_aq(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_aa(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_pq(struct ocp_agent *a, const struct ocp_msg *m);
void ocp_core_on_progress(struct ocp_agent *a, const struct ocp_msg *m);
#endif
