/* SPDX-License-Identifier: BSD-3-Clause */
/* The services that come with opes-callout. */
#ifndef CALLOUT_SERVICES_H
#define CALLOUT_SERVICES_H

#include <stdio.h>
#include "callout/opes_callout.h"

extern const struct oc_service_type service_echo;
extern const struct oc_service_type service_as_is;
extern const struct oc_service_type service_replace;
extern const struct oc_service_type service_block;
extern const struct oc_service_type service_header;
extern const struct oc_service_type service_log;
extern const struct oc_service_type service_answer;
extern const struct oc_service_type *const services_all[]; /* ended by NULL */

/* Where log prints, and how; set before the loop runs. */
struct service_log_output {
	FILE *to;  /* NULL: stdout */
	bool json;
};
extern struct service_log_output service_log_output;

#endif
