/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules and services: the model shared by control (reads YAML, compiles) and
 * the dataplane (matches).
 *
 * An image is one contiguous, position-independent, immutable block (offsets,
 * no pointers), so that control can build it in ordinary memory, copy it into
 * hugepage memory and hand over its address. It carries the Hyperscan databases
 * in serialised-then-placed form. All integers are host order; addresses are
 * network order octets (IPv4 as ::ffff:a.b.c.d).
 *
 * Matching never allocates; a struct policy_matcher per worker (made off the
 * path) holds the Hyperscan scratch.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NAME_MAX 64     /* octets of a rule's or service's name */
#define POLICY_RULES_MAX 65536
#define POLICY_SERVICES_MAX 64
#define POLICY_IMAGE_ALIGN 64  /* an image begins at a multiple of this */
#define POLICY_CAUSES 16       /* >= CALLOUT_CAUSE_MAX */

enum policy_action {
	POLICY_BYPASS,
	POLICY_BLOCK,
	POLICY_OBSERVE,
	POLICY_ADAPT,
	POLICY_TUNNEL, /* as bypass, and all that follows on the flow */
};
enum policy_on_failure { POLICY_OPEN, POLICY_CLOSED, POLICY_ANSWER };
enum policy_protocol { POLICY_PROTO_TCP, POLICY_PROTO_HTTP, POLICY_PROTO_SMTP, POLICY_PROTO_RTSP };
enum policy_kind { POLICY_KIND_REQUEST = 1, POLICY_KIND_RESPONSE = 2, POLICY_KIND_STREAM = 4 }; /* bits */
enum policy_dialect { POLICY_DIALECT_DRAFT, POLICY_DIALECT_CORE };
/* Whether an end may ask that a service is not invoked (OPES-Bypass, RFC 3897 section 4). */
enum policy_bypassable {
	POLICY_BYPASSABLE_INHERIT, /* rules: as their service says */
	POLICY_BYPASSABLE_CLIENTS, /* only the clients of opes.bypass-clients */
	POLICY_BYPASSABLE_YES,
	POLICY_BYPASSABLE_NO,
	POLICY_BYPASSABLE_MAX
};
enum policy_starttls { POLICY_STARTTLS_PASS, POLICY_STARTTLS_STRIP };
enum policy_odd_ends { POLICY_ODD_ENDS_PASS, POLICY_ODD_ENDS_REFUSE };

/* Names under which struct policy_message.field gives the addresses of a mail, lower case and without angle brackets; the
 * null sender is "<>". No header has such names. */
#define POLICY_FIELD_SENDER ":sender"
#define POLICY_FIELD_RECIPIENT ":recipient"

struct policy_service {
	char name[POLICY_NAME_MAX];
	char uri[256];          /* OPES service URI sent over OCP, default urn:opes:service:NAME */
	char address[256];      /* tcp:HOST:PORT (HOST an IP literal or [v6]) or unix:/path */
	uint32_t dialect;       /* enum policy_dialect */
	uint32_t connections;   /* at least one, per priority in use */
	int32_t priority;       /* default OCP connection priority */
	uint64_t deadline_us;   /* a transaction without progress for this long fails */
	uint64_t connect_timeout_us;
	uint64_t retry_us;      /* first reconnect delay; doubles up to 30 s */
	uint64_t idle_probe_us;
	uint64_t probe_timeout_us;
	uint32_t bypassable;    /* enum policy_bypassable, not INHERIT */
	bool release_ahead;     /* modp 0 of the service lets originals go out before its data-as-is */
	bool ack_all;           /* draft: the server acknowledges every data-have (debugging) */
	bool aux_request;       /* core: the request's head is offered with responses (RFC 4236 Aux-Parts) */
	bool keep_md5;          /* Content-MD5 of a message that may have changed goes on as the service left it */
};

struct policy_rule {
	char name[POLICY_NAME_MAX];
	uint32_t action;        /* enum policy_action */
	uint32_t service;       /* index, UINT32_MAX = none */
	uint32_t protocol;      /* enum policy_protocol */
	uint32_t kinds;         /* POLICY_KIND_* bits */
	uint8_t on_failure[POLICY_CAUSES]; /* enum policy_on_failure by enum callout_cause */
	uint8_t starttls;       /* enum policy_starttls; smtp */
	uint8_t odd_ends;       /* enum policy_odd_ends; smtp */
	uint16_t answer_status; /* HTTP status of the answer (policy answer: 502, action block: 403), SMTP reply code (554, 550) */
	int32_t priority;       /* OCP connection priority of its transactions */
	uint64_t preserve_max;  /* octets of originals kept per message */
	uint32_t bypassable;    /* enum policy_bypassable; not INHERIT where there is a service */
};

/* OPES duties towards the ends: RFC 3897, RFC 4236 sections 4 and 5. URIs are absolute and hold no octet that ends a
 * list element or a quoted string. */
enum policy_trace { POLICY_TRACE_ADAPTED, POLICY_TRACE_ALL, POLICY_TRACE_OFF, POLICY_TRACE_MAX };
enum policy_trace_via { POLICY_VIA_PRESENT, POLICY_VIA_ALWAYS, POLICY_VIA_MAX };
enum policy_trace_overflow { POLICY_TRACE_CUT, POLICY_TRACE_REFUSE, POLICY_TRACE_OVERFLOW_MAX };
#define POLICY_TRACE_LIMIT_MIN 2048
#define POLICY_TRACE_LIMIT_MAX 16384
struct policy_opes {
	char system_uri[256];    /* empty: nothing is traced */
	char processor_uri[256]; /* empty: not named */
	uint32_t trace;          /* enum policy_trace */
	uint32_t via;            /* enum policy_trace_via */
	uint32_t overflow;       /* enum policy_trace_overflow */
	uint32_t trace_limit;    /* octets of a trace field's value */
	bool service_entries;    /* what services add to OPES-Via stays */
};

/* A message of such a rule is not looked at; the rule alone is no reason to select a flow. */
static inline bool policy_passes(uint32_t action)
{
	return action == POLICY_BYPASS || action == POLICY_TUNNEL;
}

struct policy_image; /* opaque; begins with a header holding magic, version, length, checksum */

/* 0, or -EINVAL when the len octets at mem do not begin with a whole, intact image of this version, or mem is not aligned
 * to POLICY_IMAGE_ALIGN. len may be more than the image's size. */
int policy_image_check(const void *mem, size_t len);
size_t policy_image_size(const struct policy_image *img);
uint32_t policy_image_generation(const struct policy_image *img);
uint32_t policy_image_rules(const struct policy_image *img);
uint32_t policy_image_services(const struct policy_image *img);
const struct policy_rule *policy_image_rule(const struct policy_image *img, uint32_t i);
const struct policy_service *policy_image_service(const struct policy_image *img, uint32_t i);

const struct policy_opes *policy_image_opes(const struct policy_image *img);

enum policy_bypass_verdict {
	POLICY_BYPASS_GRANTED,
	POLICY_BYPASS_NOT_ALLOWED, /* the service is invoked for everybody */
	POLICY_BYPASS_NOT_CLIENT,  /* the client is none of opes.bypass-clients */
};
/* r's service is named by a client's OPES-Bypass: is it not invoked? client: network order, IPv4 mapped. */
enum policy_bypass_verdict policy_may_bypass(const struct policy_image *img, const struct policy_rule *r,
					     const uint8_t client[16]);
/* Two URIs name the same entity: scheme and authority in any case, the rest octet by octet (RFC 3986 section 6.2.2.1). */
bool policy_uri_same(const char *a, size_t a_len, const char *b, size_t b_len);
/* scheme ":" and octets a URI may have (RFC 3986 section 4.3), no comma. */
bool policy_uri_absolute(const char *s, size_t len);

/* Names as the configuration writes them; "?" for a value out of range. cause: enum callout_cause. */
const char *policy_action_name(uint32_t action);
const char *policy_on_failure_name(uint32_t on_failure);
const char *policy_protocol_name(uint32_t protocol);
const char *policy_dialect_name(uint32_t dialect);
const char *policy_cause_name(uint32_t cause);

/* --- matching --------------------------------------------------------------------------------- */

struct policy_tuple {
	uint8_t client[16], server[16]; /* network order, IPv4 mapped */
	uint16_t client_port, server_port; /* host order */
	uint8_t from_port;              /* 0 = the client is on the inside port, 1 = on the outside port */
	uint16_t vlan;                  /* outer VLAN id, 0 = none */
};

struct policy_selection {
	int32_t first;      /* index of the first rule that may match a message of this flow, -1 = flow is bypassed */
	uint32_t protocol;  /* framing to use: protocol of that rule */
};

struct policy_matcher;
/* Scratch and L3/L4 classifier for one worker and one image; off the path. 0 or -errno. */
int policy_matcher_create(struct policy_matcher **out, const struct policy_image *img, int socket_id);
void policy_matcher_destroy(struct policy_matcher *m);
const struct policy_image *policy_matcher_image(const struct policy_matcher *m);

/* True when flows are classified by rte_acl, false when rule by rule (few rules, or lists that multiply too far);
 * the results are the same. */
bool policy_matcher_classifies(const struct policy_matcher *m);

/* At the SYN, where tunnel counts as bypass. Rules count in file order; a bypass rule without message conditions that matches first ends the
 * search: bypass. A bypass rule with message conditions is no reason to select a flow; where a later rule is one, first
 * names whichever comes first, so that the bypass is met before it. Does not write to m: threads may share it for this. */
void policy_select_flow(const struct policy_matcher *m, const struct policy_tuple *t, struct policy_selection *out);

/* What a message offers to the conditions. Absent fields have NULL; an absent field meets no condition, nor its negation.
 * host may carry a port and a final dot, they do not count (RFC 3986 3.2.2, 3.2.3). Values come without surrounding white
 * space. At most 256 of the fields that rules name are looked at. */
struct policy_message {
	uint32_t kind;      /* one POLICY_KIND_* bit */
	const char *method, *host, *path; /* responses carry those of their request */
	uint32_t method_len, host_len, path_len;
	uint16_t status;    /* responses; 1xx meets only rules whose status names it */
	/* the i-th field of the message itself (not of the request); false past the last */
	bool (*field)(const void *ctx, uint32_t i, const char **name, uint32_t *name_len, const char **value,
		      uint32_t *value_len);
	const void *ctx;
};
/* First rule from sel->first on whose tuple and message conditions all hold (its action may be bypass); -1 = none: forward
 * untouched. Rules of another protocol than the selection's take no part. What msg points at is read during the call only. */
int32_t policy_match_message(struct policy_matcher *m, const struct policy_tuple *t,
			     const struct policy_selection *sel, const struct policy_message *msg);

/* --- configuration (control, and the dataplane at start) ---------------------------------------- */

enum policy_offload { POLICY_OFFLOAD_AUTO, POLICY_OFFLOAD_OFF };

struct policy_port_config {
	char name[32];      /* inside / outside */
	char device[128];   /* DPDK device: PCI address or vdev name with arguments, "net_af_packet0,iface=in0" */
	uint16_t mtu;
	bool promiscuous;
	uint32_t segmentation_offload; /* enum policy_offload */
};

struct policy_limits {
	uint32_t flows;             /* selected flows per worker */
	uint32_t active_flows;      /* of them, those with something under way; more than flows counts as flows */
	uint32_t mbufs;             /* received-packet buffers, per port pair */
	uint64_t receive_buffer;    /* octets a TCP half advertises at most */
	uint64_t preservation;      /* octets of originals kept in total per worker */
	uint64_t preservation_flow; /* default per message */
	uint32_t transactions;      /* open OCP transactions per connection */
	uint32_t callout_ring;      /* entries per direction */
	uint64_t idle_timeout_us;   /* flow without a segment */
	uint64_t handshake_timeout_us;
	uint32_t http_head;         /* octets of an HTTP head */
	uint64_t reassembly;        /* octets out of order per worker, 0: an eighth of the packet buffers */
	uint32_t fragments;         /* TCP datagrams in fragments that are put together at a time, per worker */
	uint64_t fragment_octets;   /* of packet buffers held for them */
	uint64_t fragment_timeout_us;
	uint32_t half_open;         /* selected connections per worker in their handshake; 0: policy_half_open */
};

/* Of selected traffic. Zeros are the defaults. */
enum policy_mid_stream { POLICY_MID_PASS, POLICY_MID_DROP, POLICY_MID_RESET };
enum policy_half_open_exceeded { POLICY_HALF_OPEN_BYPASS, POLICY_HALF_OPEN_DROP };
enum policy_congestion { POLICY_CC_CUBIC, POLICY_CC_NEWRENO };
struct policy_tcp {
	uint32_t mid_stream;         /* enum policy_mid_stream */
	uint32_t half_open_exceeded; /* enum policy_half_open_exceeded */
	uint32_t congestion;         /* enum policy_congestion */
	uint32_t keepalive_probes;   /* to an end that has been silent for limits.idle_timeout_us; 0: none */
	uint64_t keepalive_interval_us;
};

/* What limits.half-open comes to: a quarter of the flows, 16 to 16384, where it is not given. */
static inline uint32_t policy_half_open(const struct policy_limits *l)
{
	uint32_t quarter = l->flows / 4;

	if (l->half_open)
		return l->half_open;
	return quarter < 16 ? 16 : quarter > 16384 ? 16384 : quarter;
}

struct policy_config {
	char file[4096];
	char name[POLICY_NAME_MAX]; /* of this appliance: client in connection-start */
	char file_prefix[64];       /* DPDK --file-prefix */
	char control_socket[108];
	struct policy_port_config port[2]; /* inside, outside */
	uint32_t workers;           /* number of worker lcores */
	uint32_t worker_lcore[32];
	uint32_t callout_lcore;     /* may equal a worker's: shared */
	bool idle_backoff;          /* sleep when idle instead of spinning */
	uint32_t memory_mb;         /* hugepage memory, 0 = DPDK's default */
	bool no_huge;               /* tests of single processes only */
	struct policy_limits limits;
	struct policy_tcp tcp;
	struct policy_opes opes;
	uint32_t nservices;
	struct policy_service *services;
	uint32_t nrules;
	void *rules_private;        /* parsed rules with their conditions, for policy_compile */
};

/* One finding. text is a whole sentence that says what is wrong and what to do. */
struct policy_error {
	char file[256];
	uint32_t line, column; /* from 1; 1:1 where the file as a whole is meant */
	char text[512];
};
struct policy_errors {
	uint32_t count;        /* found; only the first POLICY_ERRORS_MAX are kept */
	struct policy_error e[32];
};
#define POLICY_ERRORS_MAX 32

/* Reads and checks a whole file (all errors, not only the first). 0, or -errno with errs filled (-ENOENT, -EACCES:
 * also one entry). *out is freed with policy_config_free. */
int policy_config_read(const char *path, struct policy_config **out, struct policy_errors *errs);
int policy_config_parse(const char *name, const char *text, size_t len, struct policy_config **out,
			struct policy_errors *errs);
void policy_config_free(struct policy_config *c);
/* Compiles rules and services to an image in malloc'd memory (free with free()). 0 or -errno with errs filled
 * (a regular expression that Hyperscan refuses is reported with its line by policy_config_parse already). */
int policy_compile(const struct policy_config *c, uint32_t generation, struct policy_image **out, struct policy_errors *errs);
/* Compares what needs a restart (ports, lcores, limits, file prefix); NULL if equal, else the key's path, such as
 * "ports.outside.mtu", valid until the thread's next call. */
const char *policy_config_restart_needed(const struct policy_config *running, const struct policy_config *next);

#endif
