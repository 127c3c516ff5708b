/* SPDX-License-Identifier: BSD-3-Clause */
/* Names, parameter tables (binding section 4), meta-data lines, texts. */
#include <string.h>
#include "ocp/ocp_message.h"

#define H OCP_HAS
/* <45> <47> <48>: legal on any message with an am-id */
#define PREDICT (H(OCP_P_MODIFIED) | H(OCP_P_SIZEP) | H(OCP_P_MODP))
#define ENDING (H(OCP_P_ERROR) | H(OCP_P_RESULT))

static const struct ocp_msg_def defs[OCP_MSG_MAX] = {
	[OCP_MSG_CONNECTION_START] = {"connection-start",
				      0,
				      {0},
				      H(OCP_P_CLIENT) | H(OCP_P_PRIORITY)},
	[OCP_MSG_CONNECTION_END] = {"connection-end", 0, {0}, ENDING},
	[OCP_MSG_CONNECTION_PRIORITY] = {"connection-priority", 1, {OCP_P_PRIORITY}, 0},
	[OCP_MSG_CONNECTION_SERVICE] = {"connection-service", 1, {OCP_P_SERVICE}, 0},
	[OCP_MSG_XACTION_START] = {"xaction-start", 1, {OCP_P_XID}, H(OCP_P_SERVICE)},
	[OCP_MSG_XACTION_END] = {"xaction-end", 1, {OCP_P_XID}, ENDING},
	[OCP_MSG_APP_MESSAGE_START] = {"app-message-start",
				       3,
				       {OCP_P_XID, OCP_P_AM_ID, OCP_P_META_DATA},
				       PREDICT},
	[OCP_MSG_APP_MESSAGE_END] = {"app-message-end",
				     2,
				     {OCP_P_XID, OCP_P_AM_ID},
				     ENDING | PREDICT},
	[OCP_MSG_DATA_HAVE] = {"data-have",
			       3,
			       {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET},
			       PREDICT | H(OCP_P_COPIED) | H(OCP_P_ACK) | H(OCP_P_AM_PART) |
				       H(OCP_P_SIZE)},
	[OCP_MSG_DATA_AS_IS] = {"data-as-is",
				6,
				{OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET, OCP_P_SIZE, OCP_P_COPY_AM_ID,
				 OCP_P_COPY_AM_OFFSET},
				PREDICT | H(OCP_P_AM_PART)},
	[OCP_MSG_DATA_PAUSE] = {"data-pause", 2, {OCP_P_XID, OCP_P_AM_ID}, PREDICT},
	[OCP_MSG_DATA_PAUSED] = {"data-paused", 2, {OCP_P_XID, OCP_P_AM_ID}, PREDICT},
	[OCP_MSG_DATA_END] = {"data-end", 2, {OCP_P_XID, OCP_P_AM_ID}, ENDING | PREDICT},
	[OCP_MSG_DATA_NEED] = {"data-need",
			       3,
			       {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET},
			       PREDICT | H(OCP_P_SIZE_REQUEST)},
	[OCP_MSG_DATA_ACK] = {"data-ack",
			      4,
			      {OCP_P_XID, OCP_P_AM_ID, OCP_P_OFFSET, OCP_P_SIZE},
			      PREDICT | H(OCP_P_WONT_FORWARD)},
	[OCP_MSG_I_AM_HERE] = {"i-am-here",
			       0,
			       {0},
			       PREDICT | H(OCP_P_RID) | H(OCP_P_XID) | H(OCP_P_AM_ID)},
	[OCP_MSG_ARE_YOU_THERE] = {"are-you-there",
				   1,
				   {OCP_P_RID},
				   PREDICT | H(OCP_P_XID) | H(OCP_P_AM_ID)},
	[OCP_MSG_DO_YOU_SUPPORT] = {"do-you-support", 1, {OCP_P_FEATURE}, 0},
	[OCP_MSG_I_DO_SUPPORT] = {"i-do-support", 1, {OCP_P_FEATURE}, 0},
	[OCP_MSG_I_DONT_SUPPORT] = {"i-dont-support", 1, {OCP_P_FEATURE}, 0},
	[OCP_MSG_PLEASE_USE] = {"please-use", 1, {OCP_P_FEATURE}, 0},
	[OCP_MSG_I_WILL_USE] = {"i-will-use", 1, {OCP_P_FEATURE}, 0},
	[OCP_MSG_I_WONT_USE] = {"i-wont-use", 1, {OCP_P_FEATURE}, 0},
};

static const char *const param_names[OCP_P_MAX] = {
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

enum ocp_msg_type ocp_msg_find(const char *name, size_t len)
{
	/* by far the most frequent one first */
	if (is_name("data-have", name, len))
		return OCP_MSG_DATA_HAVE;
	for (int t = OCP_MSG_UNKNOWN + 1; t < OCP_MSG_MAX; t++)
		if (is_name(defs[t].name, name, len))
			return (enum ocp_msg_type)t;
	return OCP_MSG_UNKNOWN;
}

const char *ocp_param_name(enum ocp_param p)
{
	return p < OCP_P_MAX ? param_names[p] : "unknown";
}

enum ocp_param ocp_param_find(enum ocp_msg_type type, const char *name, size_t len)
{
	const struct ocp_msg_def *def = ocp_msg_def(type);

	if (!def)
		return OCP_P_MAX;
	for (int p = 0; p < OCP_P_MAX; p++)
		if ((def->named & H(p)) && is_name(param_names[p], name, len))
			return (enum ocp_param)p;
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
};

const char *ocp_end_text(enum ocp_end end)
{
	return end < OCP_END_MAX ? end_texts[end] : "unknown";
}

static const char *const fault_texts[OCP_FAULT_MAX] = {
	[OCP_FAULT_NONE] = "no fault",
	[OCP_FAULT_MALFORMED] = "<53> malformed message",
	[OCP_FAULT_OUTSIDE] = "<59> message outside of the connection",
	[OCP_FAULT_UNKNOWN_MSG] = "<53> unknown message",
	[OCP_FAULT_UNKNOWN_ID] = "<54> unknown identifier",
	[OCP_FAULT_DIRECTION] = "message that this agent must not send",
	[OCP_FAULT_XID_ORDER] = "<36> xid not larger than those before",
	[OCP_FAULT_NO_SERVICE] = "<70> neither transaction nor connection names a service",
	[OCP_FAULT_AM_ID] = "<39> am-id of wrong parity or order, or a second original",
	[OCP_FAULT_OWN_AM_ID] = "data for an application message of the recipient's own",
	[OCP_FAULT_OFFSET] = "<85> gap or overlap in the data",
	[OCP_FAULT_AS_IS] = "<89> data-as-is for octets not under commitment",
	[OCP_FAULT_AFTER_END] = "<98> data after data-end",
	[OCP_FAULT_WHILE_PAUSED] = "<95> data for a paused message",
	[OCP_FAULT_LEAVE_LOOP] = "leaving the loop against its rules",
	[OCP_FAULT_ACK_RANGE] = "<106> data-ack for octets never sent",
	[OCP_FAULT_LIMIT] = "limit on open transactions or messages",
	[OCP_FAULT_REPEATED_START] = "<59> connection-start repeated",
	[OCP_FAULT_META_EMPTY] = "empty meta-data from the processor",
};

const char *ocp_fault_text(enum ocp_fault f)
{
	return f < OCP_FAULT_MAX ? fault_texts[f] : "unknown";
}
