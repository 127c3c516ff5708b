/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP profile of RFC 4236 section 3: a feature structure that the core dialect negotiates with
 * NO and NR, and the parts that it lets each side send.
 *
 * Pure functions; no memory of their own. Return values: 0 or -errno unless said otherwise.
 */
#ifndef OCP_OCP_PROFILE_H
#define OCP_OCP_PROFILE_H

#include "ocp/ocp.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ocp_profile {
	/* OCP_FEATURE_HTTP_REQUEST or OCP_FEATURE_HTTP_RESPONSE; OCP_FEATURE_MAX: no profile */
	enum ocp_feature feature;
	/* Aux-Parts, mask of OCP_HAS(enum ocp_part), exactly as listed. In an offer parts that are
	 * not auxiliary are to be ignored: & ocp_profile_aux(feature). */
	uint32_t aux_parts;
	/* Octets of the main body, 0..2147483647; -1: not said. Answers only. */
	int64_t pause_at_body;		    /* section 3.2.4: pause there, as if by DWP */
	int64_t stop_receiving_body;	    /* section 3.2.5: end there, as if by DWSR */
	int64_t preservation_interest_body; /* section 3.2.6: keep as many, as if by DPI */
	/* Content-Encodings, list of atoms in wire form, best first; empty: not said. Points into
	 * what was read. */
	struct ocp_str content_encodings;
};
#define OCP_PROFILE_INIT                                                                           \
	((struct ocp_profile){.feature = OCP_FEATURE_MAX,                                          \
			      .pause_at_body = -1,                                                 \
			      .stop_receiving_body = -1,                                           \
			      .preservation_interest_body = -1})

/*
 * Reads a feature as received. u's `more` has passed the decoder. -ENOENT: not an HTTP profile (*p
 * is OCP_PROFILE_INIT). -EINVAL: one of the five members has the wrong type or range (*p holds those
 * before it); the offer or answer is invalid input (RFC 4037 section 5). Unknown members are
 * ignored.
 */
int ocp_profile_read(struct ocp_profile *p, const struct ocp_uri *u);
/*
 * The feature to send for a profile. u->more points into buf[cap] and is as long as needed; the URI
 * is a static string. -EINVAL: no profile, or a value out of range; -ENOSPC: buf is too small
 * (OCP_PROFILE_ROOM plus the length of content_encodings is enough).
 */
int ocp_profile_write(const struct ocp_profile *p, char *buf, size_t cap, struct ocp_uri *u);
#define OCP_PROFILE_ROOM 288

/* Masks of OCP_HAS(enum ocp_part). */
uint32_t ocp_profile_aux(enum ocp_feature f);		     /* parts that may be auxiliary */
uint32_t ocp_profile_original(const struct ocp_profile *p); /* that the processor sends */
uint32_t ocp_profile_adapted(const struct ocp_profile *p);  /* that the callout server sends */
/* The main body of the original: what the offsets of the profile count in. */
enum ocp_part ocp_profile_body(enum ocp_feature f);
/*
 * Whether `part` may come next in the original (adapted false) or adapted (true) message, `last`
 * being the part of the data before it (OCP_PART_NONE: none yet): it is listed, not before `last`
 * in order (section 3.2.1), and an adapted message has request parts or response parts, not both.
 */
bool ocp_profile_part_ok(const struct ocp_profile *p, bool adapted, enum ocp_part last,
			 enum ocp_part part);

#ifdef __cplusplus
}
#endif
#endif
