/* SPDX-License-Identifier: BSD-3-Clause */
#include "callout/services/services.h"

const struct oc_service_type *const services_all[] = {
	&service_echo, &service_as_is, &service_replace, &service_block, &service_header, &service_log,
	&service_answer, NULL,
};
