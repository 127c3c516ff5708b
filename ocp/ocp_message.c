/* SPDX-License-Identifier: BSD-3-Clause */
/* Names, parameter tables (binding section 4), meta-data lines, texts. */
#include <string.h>
#include "ocp/ocp_message.h"

#define H OCP_HAS
/* <45> <47> <48>: legal on any message with an am-id */
#define PREDICT (H(OCP_P_MODIFIED) | H(OCP_P_SIZEP) | H(OCP_P_MODP))
#define ENDING (H(OCP_P_ERROR) | H(OCP_P_RESULT))

static const struct ocp_msg_def defs[OCP_MSG_MAX] = {
	[OCP_MSG_CONNECTION_START] = {.name = "connection-start", .named = H(OCP_P_CLIENT) | H(OCP_P_PRIORITY)},
	[OCP_MSG_CONNECTION_END] = {.name = "connection-end", .named = ENDING},
	[OCP_MSG_CONNECTION_PRIORITY] = {.name = "connection-priority", .nanon = 1, .anon = {OCP_P_PRIORITY}},
	[OCP_MSG_CONNECTION_SERVICE] = {.name = "connection-service", .nanon = 1, .anon = {OCP_P_SERVICE}},
	[OCP_MSG_XACTION_START] = {.name = "xaction-start", .nanon = 1, .anon = {OCP_P_XID},
		.named = H(OCP_P_SERVICE)},
	[OCP_MSG_XACTION_END] = {.name = "xaction-end", .nanon = 1, .anon = {OCP_P_XID}, .named = ENDING},
	[OCP_MSG_APP_MESSAGE_START] = {.name = "app-message-start", .nanon = 3,
		.anon = {OCP_P_XID, OCP_P_AM_ID, OCP_P_META_DATA}, .named = PREDICT},
	[OCP_MSG_APP_MESSAGE_END] = {.name = "app-message-end", .nanon = 2, .anon = {OCP_P_XID, OCP_P_AM_ID},
		.named = ENDING | PREDICT},
	[OCP_MSG_DATA_HAVE] = {.name = "data-have", .nanon = 3, .anon = {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET},
		.named = PREDICT | H(OCP_P_COPIED) | H(OCP_P_ACK) | H(OCP_P_AM_PART) | H(OCP_P_SIZE)},
	[OCP_MSG_DATA_AS_IS] = {.name = "data-as-is", .nanon = 6,
		.anon = {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET, OCP_P_SIZE, OCP_P_COPY_AM_ID, OCP_P_COPY_AM_OFFSET},
		.named = PREDICT | H(OCP_P_AM_PART)},
	[OCP_MSG_DATA_PAUSE] = {.name = "data-pause", .nanon = 2, .anon = {OCP_P_XID, OCP_P_AM_ID}, .named = PREDICT},
	[OCP_MSG_DATA_PAUSED] = {.name = "data-paused", .nanon = 2, .anon = {OCP_P_XID, OCP_P_AM_ID},
		.named = PREDICT},
	[OCP_MSG_DATA_END] = {.name = "data-end", .nanon = 2, .anon = {OCP_P_XID, OCP_P_AM_ID},
		.named = ENDING | PREDICT},
	[OCP_MSG_DATA_NEED] = {.name = "data-need", .nanon = 3, .anon = {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET},
		.named = PREDICT | H(OCP_P_SIZE_REQUEST)},
	[OCP_MSG_DATA_ACK] = {.name = "data-ack", .nanon = 4,
		.anon = {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET, OCP_P_SIZE},
		.named = PREDICT | H(OCP_P_WONT_FORWARD)},
	[OCP_MSG_I_AM_HERE] = {.name = "i-am-here", .named = PREDICT | H(OCP_P_RID) | H(OCP_P_XID) | H(OCP_P_AM_ID)},
	[OCP_MSG_ARE_YOU_THERE] = {.name = "are-you-there", .nanon = 1, .anon = {OCP_P_RID},
		.named = PREDICT | H(OCP_P_XID) | H(OCP_P_AM_ID)},
	[OCP_MSG_DO_YOU_SUPPORT] = {.name = "do-you-support", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_I_DO_SUPPORT] = {.name = "i-do-support", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_I_DONT_SUPPORT] = {.name = "i-dont-support", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_PLEASE_USE] = {.name = "please-use", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_I_WILL_USE] = {.name = "i-will-use", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_I_WONT_USE] = {.name = "i-wont-use", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_CS] = {.name = "CS"},
	[OCP_MSG_CE] = {.name = "CE", .nanon = 1, .anon = {OCP_P_RESULT}, .optional = 1},
	[OCP_MSG_SGC] = {.name = "SGC", .nanon = 2, .anon = {OCP_P_SG, OCP_P_SERVICES}},
	[OCP_MSG_SGD] = {.name = "SGD", .nanon = 1, .anon = {OCP_P_SG}},
	[OCP_MSG_TS] = {.name = "TS", .nanon = 2, .anon = {OCP_P_XID, OCP_P_SG}},
	[OCP_MSG_TE] = {.name = "TE", .nanon = 2, .anon = {OCP_P_XID, OCP_P_RESULT}, .optional = 1},
	[OCP_MSG_AMS] = {.name = "AMS", .nanon = 1, .anon = {OCP_P_XID}, .named = H(OCP_P_SERVICES) | H(OCP_P_SIZEP)},
	[OCP_MSG_AME] = {.name = "AME", .nanon = 2, .anon = {OCP_P_XID, OCP_P_RESULT}, .optional = 1},
	[OCP_MSG_DUM] = {.name = "DUM", .nanon = 2, .anon = {OCP_P_XID, OCP_P_OFFSET},
		.named = H(OCP_P_AS_IS) | H(OCP_P_KEPT) | H(OCP_P_MODP) | H(OCP_P_AM_PART)},
	[OCP_MSG_DUY] = {.name = "DUY", .nanon = 3, .anon = {OCP_P_XID, OCP_P_COPY_AM_OFFSET, OCP_P_SIZE}},
	[OCP_MSG_DPI] = {.name = "DPI", .nanon = 3, .anon = {OCP_P_XID, OCP_P_OFFSET, OCP_P_SIZE}},
	[OCP_MSG_DWSR] = {.name = "DWSR", .nanon = 2, .anon = {OCP_P_XID, OCP_P_SIZE}},
	[OCP_MSG_DWSS] = {.name = "DWSS", .nanon = 1, .anon = {OCP_P_XID}},
	[OCP_MSG_DSS] = {.name = "DSS", .nanon = 1, .anon = {OCP_P_XID}},
	[OCP_MSG_DWP] = {.name = "DWP", .nanon = 2, .anon = {OCP_P_XID, OCP_P_OFFSET}},
	[OCP_MSG_DPM] = {.name = "DPM", .nanon = 1, .anon = {OCP_P_XID}},
	[OCP_MSG_DWM] = {.name = "DWM", .nanon = 1, .anon = {OCP_P_XID}, .named = H(OCP_P_SIZE_REQUEST)},
	[OCP_MSG_NO] = {.name = "NO", .nanon = 1, .anon = {OCP_P_FEATURES},
		.named = H(OCP_P_SG) | H(OCP_P_OFFER_PENDING)},
	[OCP_MSG_NR] = {.name = "NR", .nanon = 1, .anon = {OCP_P_FEATURE},
		.named = H(OCP_P_SG) | H(OCP_P_REJECTS) | H(OCP_P_UNKNOWNS) | H(OCP_P_OFFER_PENDING),
		.optional = 1},
	[OCP_MSG_AQ] = {.name = "AQ", .nanon = 1, .anon = {OCP_P_FEATURE}},
	[OCP_MSG_AA] = {.name = "AA", .nanon = 1, .anon = {OCP_P_ANSWER}},
	[OCP_MSG_PQ] = {.name = "PQ", .nanon = 1, .anon = {OCP_P_XID}, .optional = 1},
	[OCP_MSG_PA] = {.name = "PA", .nanon = 1, .anon = {OCP_P_XID}, .named = H(OCP_P_ORG_DATA), .optional = 1},
	[OCP_MSG_PR] = {.name = "PR", .nanon = 1, .anon = {OCP_P_XID}, .named = H(OCP_P_ORG_DATA), .optional = 1},
};

/* Core dialect: the named parameters only, as RFC 4037 and 4236 declare them. */
static const char *const core_names[OCP_P_MAX] = {
	[OCP_P_SIZEP] = "AM-EL",
	[OCP_P_MODP] = "Modp",
	[OCP_P_SIZE_REQUEST] = "Size-request",
	[OCP_P_AM_PART] = "AM-Part",
	[OCP_P_OFFER_PENDING] = "Offer-Pending",
	[OCP_P_SG] = "SG",
	[OCP_P_SERVICES] = "Services",
	[OCP_P_REJECTS] = "Rejects",
	[OCP_P_UNKNOWNS] = "Unknowns",
	[OCP_P_AS_IS] = "As-is",
	[OCP_P_KEPT] = "Kept",
	[OCP_P_ORG_DATA] = "Org-Data",
};

static const char *const draft_names[OCP_P_MAX] = {
	[OCP_P_XID] = "xid",
	[OCP_P_AM_ID] = "am-id",
	[OCP_P_RID] = "rid",
	[OCP_P_OFFSET] = "offset",
	[OCP_P_SIZE] = "size",
	[OCP_P_COPY_AM_ID] = "copy-am-id",
	[OCP_P_COPY_AM_OFFSET] = "copy-am-offset",
	[OCP_P_META_DATA] = "meta-data",
	[OCP_P_SERVICE] = "service",
	[OCP_P_FEATURE] = "feature",
	[OCP_P_PRIORITY] = "priority",
	[OCP_P_CLIENT] = "client",
	[OCP_P_RESULT] = "result",
	[OCP_P_SIZEP] = "sizep",
	[OCP_P_MODP] = "modp",
	[OCP_P_SIZE_REQUEST] = "size-request",
	[OCP_P_AM_PART] = "am-part",
	[OCP_P_ERROR] = "error",
	[OCP_P_MODIFIED] = "modified",
	[OCP_P_COPIED] = "copied",
	[OCP_P_ACK] = "ack",
	[OCP_P_WONT_FORWARD] = "wont-forward",
};

static const char *const part_names[OCP_PART_MAX] = {
	"",
	"request-header",
	"request-body",
	"request-trailer",
	"response-header",
	"response-body",
	"response-trailer",
};

static const char *const feature_uris[OCP_FEATURE_MAX] = {
	[OCP_FEATURE_COPIED] = "urn:opes:feature:copied",
	[OCP_FEATURE_AS_IS] = "urn:opes:feature:as-is",
	[OCP_FEATURE_LEAVE_LOOP] = "urn:opes:feature:leave-loop",
	[OCP_FEATURE_ACK_ALL] = "urn:opes:feature:ack-all",
	[OCP_FEATURE_HTTP_REQUEST] = "http://www.iana.org/assignments/opes/ocp/http/request",
	[OCP_FEATURE_HTTP_RESPONSE] = "http://www.iana.org/assignments/opes/ocp/http/response",
};

struct ocp_str ocp_str(const char *s)
{
	return (struct ocp_str){s, s ? (uint32_t)strlen(s) : 0};
}

bool ocp_str_eq(struct ocp_str a, struct ocp_str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static bool is_name(const char *literal, const char *name, size_t len)
{
	return len && literal[0] == name[0] && strlen(literal) == len &&
	       !memcmp(literal, name, len);
}

const struct ocp_msg_def *ocp_msg_def(enum ocp_msg_type type)
{
	return type > OCP_MSG_UNKNOWN && type < OCP_MSG_MAX ? &defs[type] : NULL;
}

enum ocp_msg_type ocp_msg_find(const char *name, size_t len, uint32_t dialects)
{
	int first = dialects & H(OCP_DIALECT_DRAFT) ? OCP_MSG_UNKNOWN + 1 : OCP_MSG_CS;
	int end = dialects & H(OCP_DIALECT_CORE) ? OCP_MSG_MAX : OCP_MSG_CS;

	for (int t = first; t < end; t++)
		if (is_name(defs[t].name, name, len))
			return (enum ocp_msg_type)t;
	return OCP_MSG_UNKNOWN;
}

enum ocp_dialect ocp_msg_dialect(enum ocp_msg_type type)
{
	if (!ocp_msg_def(type))
		return OCP_DIALECT_MAX;
	return ocp_msg_is_core(type) ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
}

const char *ocp_param_name(enum ocp_msg_type type, enum ocp_param p)
{
	const char *name = NULL;

	if (p < OCP_P_MAX)
		name = ocp_msg_is_core(type) ? core_names[p] : draft_names[p];
	return name ? name : "unknown";
}

/* Names that RFC 4037 itself does not spell alike everywhere. */
static bool is_loose_name(enum ocp_param p, const char *name, size_t len)
{
	const char *want = core_names[p];

	if ((p != OCP_P_SIZE_REQUEST && p != OCP_P_ORG_DATA) || strlen(want) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((want[i] | 0x20) != (name[i] | 0x20))
			return false;
	return true;
}

enum ocp_param ocp_param_find(enum ocp_msg_type type, const char *name, size_t len)
{
	const struct ocp_msg_def *def = ocp_msg_def(type);
	bool core = ocp_msg_is_core(type);

	if (!def)
		return OCP_P_MAX;
	for (uint64_t left = def->named; left; left &= left - 1) {
		enum ocp_param p = (enum ocp_param)__builtin_ctzll(left);

		if (is_name(ocp_param_name(type, p), name, len) || (core && is_loose_name(p, name, len)))
			return p;
	}
	if ((def->named & H(OCP_P_ACK)) && is_name("please-ack", name, len))
		return OCP_P_ACK;
	if (type == OCP_MSG_DATA_NEED && is_name("size", name, len))
		return OCP_P_SIZE_REQUEST;
	return OCP_P_MAX;
}

const char *ocp_msg_name(enum ocp_msg_type type)
{
	const struct ocp_msg_def *def = ocp_msg_def(type);

	return def ? def->name : "unknown";
}

const char *ocp_part_name(enum ocp_part part)
{
	return part < OCP_PART_MAX ? part_names[part] : "unknown";
}

enum ocp_part ocp_part_find(struct ocp_str name)
{
	for (int p = OCP_PART_NONE + 1; p < OCP_PART_MAX; p++)
		if (is_name(part_names[p], name.p, name.len))
			return (enum ocp_part)p;
	return OCP_PART_NONE;
}

const char *ocp_feature_uri(enum ocp_feature f)
{
	return f < OCP_FEATURE_MAX ? feature_uris[f] : "unknown";
}

enum ocp_feature ocp_feature_find(struct ocp_str uri)
{
	for (int f = 0; f < OCP_FEATURE_MAX; f++)
		if (is_name(feature_uris[f], uri.p, uri.len))
			return (enum ocp_feature)f;
	return OCP_FEATURE_MAX;
}

bool ocp_meta_get(struct ocp_str meta, const char *name, struct ocp_str *value)
{
	const char *p = meta.p, *end = meta.p ? meta.p + meta.len : NULL;
	size_t n = strlen(name);

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf ? lf : end;

		if (stop > p && stop[-1] == '\r')
			stop--;
		if ((size_t)(stop - p) > n && !memcmp(p, name, n) && p[n] == ':') {
			p += n + 1;
			while (p < stop && *p == ' ')
				p++;
			*value = (struct ocp_str){p, (uint32_t)(stop - p)};
			return true;
		}
		p = lf ? lf + 1 : end;
	}
	return false;
}

enum ocp_kind ocp_meta_kind(struct ocp_str meta)
{
	struct ocp_str v;

	if (!ocp_meta_get(meta, "Kind", &v))
		return OCP_KIND_NONE;
	if (ocp_str_eq(v, OCP_STR("request")))
		return OCP_KIND_REQUEST;
	if (ocp_str_eq(v, OCP_STR("response")))
		return OCP_KIND_RESPONSE;
	if (ocp_str_eq(v, OCP_STR("stream")))
		return OCP_KIND_STREAM;
	return OCP_KIND_OTHER;
}

static const char *const bad_texts[OCP_BAD_MAX] = {
	[OCP_BAD_NONE] = "well-formed",
	[OCP_BAD_OCTET] = "octet that the grammar does not allow here",
	[OCP_BAD_NUMBER] = "size with a leading zero or above 2147483647",
	[OCP_BAD_QUOTE] = "quoted value does not end where its size says",
	[OCP_BAD_NAME] = "name longer than the limit",
	[OCP_BAD_ATOM] = "atom longer than the limit",
	[OCP_BAD_NESTING] = "brackets nested deeper than the limit",
	[OCP_BAD_ITEMS] = "more list items than the limit",
	[OCP_BAD_ANONYMOUS] = "more anonymous values than the limit",
	[OCP_BAD_NAMED] = "more named parameters than the limit",
	[OCP_BAD_PAYLOAD] = "payload larger than the limit",
	[OCP_BAD_HEAD] = "known parameters larger than the limit",
	[OCP_BAD_REPEATED] = "named parameter repeated",
	[OCP_BAD_MISSING] = "required parameter or payload missing",
	[OCP_BAD_TYPE] = "parameter of the wrong type",
	[OCP_BAD_RANGE] = "parameter out of range",
	[OCP_BAD_SIZE] = "size parameter differs from the payload's size",
	[OCP_BAD_MEMORY] = "no memory to keep the head",
};

const char *ocp_bad_text(enum ocp_bad bad)
{
	return bad < OCP_BAD_MAX ? bad_texts[bad] : "unknown";
}

static const char *const end_texts[OCP_END_MAX] = {
	[OCP_END_NONE] = "open",
	[OCP_END_LOCAL] = "ended by this agent",
	[OCP_END_PEER] = "ended by the peer",
	[OCP_END_PEER_ERROR] = "ended by the peer with an error",
	[OCP_END_MALFORMED] = "malformed message received",
	[OCP_END_OUTSIDE] = "message outside of connection-start and connection-end",
	[OCP_END_DEAD] = "peer does not answer are-you-there",
	[OCP_END_EOF] = "transport closed without connection-end",
	[OCP_END_OUTPUT] = "transport does not take output",
	[OCP_END_MEMORY] = "out of memory",
	[OCP_END_VIOLATION] = "peer broke a rule of the connection",
};

const char *ocp_end_text(enum ocp_end end)
{
	return end < OCP_END_MAX ? end_texts[end] : "unknown";
}

static const char *const fault_texts[OCP_FAULT_MAX] = {
	[OCP_FAULT_NONE] = "no fault",
	[OCP_FAULT_MALFORMED] = "<53>, RFC 4037 3.1: malformed message",
	[OCP_FAULT_OUTSIDE] = "<59>, RFC 4037 11.2: message outside of the connection",
	[OCP_FAULT_UNKNOWN_MSG] = "<53>, RFC 4037 11: unknown message",
	[OCP_FAULT_UNKNOWN_ID] = "<54>, RFC 4037 4: identifier unknown or no longer in use",
	[OCP_FAULT_DIRECTION] = "message that this agent must not send",
	[OCP_FAULT_XID_ORDER] = "<36>, RFC 4037 10.2: xid not larger than those before",
	[OCP_FAULT_NO_SERVICE] = "<70> neither transaction nor connection names a service",
	[OCP_FAULT_AM_ID] = "<39> am-id of wrong parity or order, or a second original",
	[OCP_FAULT_OWN_AM_ID] = "data for an application message of the recipient's own",
	[OCP_FAULT_OFFSET] = "<85>, RFC 4037 11.9: gap or overlap in the data",
	[OCP_FAULT_AS_IS] = "<89>, RFC 4037 11.10: as-is data that is not preserved",
	[OCP_FAULT_AFTER_END] = "<98>, RFC 4037 11.8: data after the end of the message",
	[OCP_FAULT_WHILE_PAUSED] = "<95>, RFC 4037 11.16: data for a paused message",
	[OCP_FAULT_LEAVE_LOOP] = "leaving the loop against its rules",
	[OCP_FAULT_ACK_RANGE] = "<106> data-ack for octets never sent",
	[OCP_FAULT_LIMIT] = "limit on open transactions or messages",
	[OCP_FAULT_REPEATED_START] = "<59>, RFC 4037 11.1: connection start repeated",
	[OCP_FAULT_META_EMPTY] = "empty meta-data from the processor",
	[OCP_FAULT_NOT_CS] = "RFC 4037 11.1: the first message is not CS",
	[OCP_FAULT_NEGOTIATION] = "RFC 4037 11.18, 11.19: negotiation out of turn or answer without a fitting offer",
	[OCP_FAULT_PHASE] = "RFC 4037 6.1: message that a negotiation phase does not allow",
	[OCP_FAULT_SG] = "RFC 4037 11.3, 11.5: unknown service group, or sg-id not larger than those before",
	[OCP_FAULT_UNKNOWN_XID] = "RFC 4037 4: xid that never began",
	[OCP_FAULT_AM_ORDER] = "RFC 4037 11.7, 11.8: message of a dataflow that has not begun or has ended",
	[OCP_FAULT_PART] = "RFC 4236 3.2.1, 3.4: AM-Part missing, not of the profile, or out of order",
	[OCP_FAULT_KEPT] = "RFC 4037 11.9: Kept that does not extend what is kept",
	[OCP_FAULT_INTEREST] = "RFC 4037 11.11: preservation interest outside of the one before",
	[OCP_FAULT_STOP] = "RFC 4037 8.2, 11.14: early end of a dataflow that was not agreed",
	[OCP_FAULT_RANGE_2G] = "RFC 4037 10.3: dataflow longer than 2147483647 octets",
	[OCP_FAULT_PROFILE_ANSWER] = "RFC 4236 3.2.3: answer selects what was not offered",
	[OCP_FAULT_PROGRESS] = "RFC 4037 11.23: progress of something else, or of more data than was sent",
	[OCP_FAULT_UNSOLICITED] = "RFC 4037 11.21, 11.23: answer without a question",
	[OCP_FAULT_AS_IS_OFFSET] = "RFC 4037 11.9: As-is that does not fit the original",
};

const char *ocp_fault_text(enum ocp_fault f)
{
	return f < OCP_FAULT_MAX ? fault_texts[f] : "unknown";
}
