/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of enum callout_cause (dataplane/callout/callout.h) as the
 * configuration writes them, in its order; a test holds the two together.
 */
#ifndef POLICY_CAUSES_H
#define POLICY_CAUSES_H

#define POLICY_CAUSE_NAMES                                                                         \
	{                                                                                          \
		"default", "connect", "negotiation", "lost", "deadline", "protocol", "refused",    \
			"overload", "budget", "framing"                                            \
	}

#endif
