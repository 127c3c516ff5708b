/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy/policy_words.h"

const struct policy_word policy_action_words[] = {
	{"bypass", POLICY_BYPASS},
	{"block", POLICY_BLOCK},
	{"observe", POLICY_OBSERVE},
	{"adapt", POLICY_ADAPT},
	{"tunnel", POLICY_TUNNEL},
	{NULL, 0},
};

const struct policy_word policy_on_failure_words[] = {
	{"open", POLICY_OPEN},
	{"closed", POLICY_CLOSED},
	{"answer", POLICY_ANSWER},
	{NULL, 0},
};

const struct policy_word policy_mid_stream_words[] = {
	{"pass", POLICY_MID_PASS},
	{"drop", POLICY_MID_DROP},
	{"reset", POLICY_MID_RESET},
	{NULL, 0},
};
const struct policy_word policy_half_open_words[] = {
	{"bypass", POLICY_HALF_OPEN_BYPASS},
	{"drop", POLICY_HALF_OPEN_DROP},
	{NULL, 0},
};
const struct policy_word policy_congestion_words[] = {
	{"cubic", POLICY_CC_CUBIC},
	{"newreno", POLICY_CC_NEWRENO},
	{NULL, 0},
};
const struct policy_word policy_protocol_words[] = {
	{"http", POLICY_PROTO_HTTP},
	{"rtsp", POLICY_PROTO_RTSP},
	{"smtp", POLICY_PROTO_SMTP},
	{"tcp", POLICY_PROTO_TCP},
	{NULL, 0},
};
const struct policy_word policy_starttls_words[] = {
	{"pass", POLICY_STARTTLS_PASS},
	{"strip", POLICY_STARTTLS_STRIP},
	{NULL, 0},
};
const struct policy_word policy_odd_ends_words[] = {
	{"pass", POLICY_ODD_ENDS_PASS},
	{"refuse", POLICY_ODD_ENDS_REFUSE},
	{NULL, 0},
};

const struct policy_word policy_dialect_words[] = {
	{"draft", POLICY_DIALECT_DRAFT},
	{"core", POLICY_DIALECT_CORE},
	{NULL, 0},
};

const struct policy_word policy_aux_part_words[] = {
	{"request-header", 1},
	{NULL, 0},
};

const struct policy_word policy_bypassable_words[] = {
	{"clients", POLICY_BYPASSABLE_CLIENTS},
	{"yes", POLICY_BYPASSABLE_YES},
	{"no", POLICY_BYPASSABLE_NO},
	{NULL, 0},
};

const struct policy_word policy_cause_words[POLICY_CAUSE_WORDS + 1] = {
	{"default", 0},	 {"connect", 1},  {"negotiation", 2}, {"lost", 3},
	{"deadline", 4}, {"protocol", 5}, {"refused", 6},     {"overload", 7},
	{"budget", 8},	 {"framing", 9},  {NULL, 0},
};

static const char *name_of(const struct policy_word *w, uint32_t value)
{
	while (w->name && w->value != value)
		w++;
	return w->name ? w->name : "?";
}

const char *policy_action_name(uint32_t action)
{
	return name_of(policy_action_words, action);
}

const char *policy_on_failure_name(uint32_t on_failure)
{
	return name_of(policy_on_failure_words, on_failure);
}

const char *policy_protocol_name(uint32_t protocol)
{
	return name_of(policy_protocol_words, protocol);
}

const char *policy_dialect_name(uint32_t dialect)
{
	return name_of(policy_dialect_words, dialect);
}

const char *policy_cause_name(uint32_t cause)
{
	return name_of(policy_cause_words, cause);
}
