/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: what the two agents have in common. One OCP connection with
 * its decoder, output, features, liveness, counters and table of transactions.
 *
 * The role (processor or callout server) plugs in through struct ocp_role.
 *
 * INV-OCP-A1  a transaction is taken out of the table before the first of its last callbacks, so
 * that calls from inside them find no half-dead one. INV-OCP-A2  after a callback every pointer to
 * a transaction is looked up again. INV-OCP-A3  an open transaction is in exactly one of the lists
 * `quiet` (ordered by active_us) and `asked` (ordered by asked_us).
 */
#ifndef OCP_AGENT_H
#define OCP_AGENT_H

#include "ocp/ocp.h"
#include "ocp/ocp_link.h"
#include "ocp/ocp_processor_flow.h"
#include "ocp/ocp_ranges.h"
#include "ocp/ocp_server_flow.h"

struct ocp_am {
	struct ocp_am *next;
	uint32_t id;
	uint64_t offset;    /* of its next octet */
	bool ended;	    /* data-end */
	bool last_as_is;    /* its last octets came from a data-as-is ... */
	uint64_t as_is_end; /* ... whose range ended here in the original */
};

struct ocp_xaction {
	struct ocp_link link; /* first: quiet or asked */
	struct ocp_xaction *hash_next;
	void *user;
	uint32_t xid;
	uint32_t grace; /* answers in a row that it is still maintained */
	uint64_t active_us;
	uint64_t asked_us;
	uint32_t asked_rid;
	bool asked;
	bool asked_am; /* about the original, too <117> */
	/* the original */
	bool am_known; /* app-message-start sent or received */
	bool am_open;  /* its am-id is valid */
	bool am_ended; /* data-end sent or received, or am-id ended */
	bool paused;
	bool left;	 /* processor: the peer left the loop */
	bool peers_turn; /* processor: the deadline counts */
	bool te_sent;	 /* core: nothing more of ours goes out for it; the peer may still finish */
	uint32_t am_id;
	uint64_t offset;   /* octets sent or received */
	uint64_t released; /* processor: end of the highest range given up by wont-forward */
	struct ocp_ranges kept;
	/* adapted messages, in the order of their start */
	struct ocp_am *ams;
	uint32_t ams_open;
	int64_t last_am_id; /* of the callout server; -1 none */
	union { /* core dialect */
		struct ocp_server_flow server;
		struct ocp_processor_flow processor;
	};
};

struct ocp_agent;
struct ocp_core;

struct ocp_role {
	/* The first message, which tells the dialect; NULL: malformed. True: dealt with. May be NULL. */
	bool (*first)(struct ocp_agent *a, const struct ocp_msg *m);
	/* A message of a transaction or of this role; bracket checked, head valid. */
	void (*message)(struct ocp_agent *a, const struct ocp_msg *m);
	/* A slice of the data-have that `current` describes. */
	void (*slice)(struct ocp_agent *a, const struct ocp_data *d);
	/* x is out of the table: tell its owner. */
	void (*ended)(struct ocp_agent *a, struct ocp_xaction *x,
		      const struct ocp_xaction_ending *e);
	/* x is to be freed: what the role holds for it. May be NULL. */
	void (*freed)(struct ocp_agent *a, struct ocp_xaction *x);
	/* The peer has done its part and need not maintain it: we go on alone. May be NULL. */
	bool (*alone)(const struct ocp_xaction *x);
	/* What to do about a transaction that is still maintained but makes no progress. */
	bool (*overdue)(const struct ocp_agent *a, const struct ocp_xaction *x);
};

/* The data-have being received. */
struct ocp_current {
	bool wanted;
	bool ack;
	uint32_t xid;
	struct ocp_data data; /* attributes; offset: of the data-have */
	uint64_t size, seen;
};

struct ocp_agent {
	const struct ocp_role *role;
	struct ocp_core *core; /* ocp_core.h; NULL: the connection speaks the draft dialect */
	struct ocp_decoder *decoder;
	struct ocp_limits limits;
	uint32_t xactions_max, ams_max, ranges_max;
	uint32_t features_known, features_used, features_asked;
	uint64_t idle_probe_us, probe_timeout_us, deadline_us;

	void *ctx;
	ocp_output_fn output;
	void (*on_closed)(void *ctx, enum ocp_end how, const struct ocp_result *result);
	void (*on_feature)(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a);
	void (*on_alive)(void *ctx, uint32_t rid, bool has_xid, bool has_am_id);
	void (*on_fault)(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg);

	bool started; /* connection-start sent or received */
	bool broken;  /* output failed; becomes OCP_END_OUTPUT at the next input or tick */
	enum ocp_end over;
	uint32_t finishing; /* transactions in their last callbacks, one inside the other */
	bool closing;	    /* over since then: on_closed comes after these callbacks */
	enum ocp_msg_type msg; /* being handled, for faults */
	void *cookie;
	uint64_t now, last_rx;
	uint32_t next_rid;
	bool asks_am; /* a transaction without progress is asked about with its original <113> */
	bool probing; /* about the connection */
	uint32_t probe_rid;
	uint64_t probe_us;

	struct ocp_current current;
	struct ocp_xaction **table;
	uint32_t table_mask, table_seed, xactions;
	struct ocp_link quiet, asked;
	struct ocp_xaction *spare;
	uint32_t spares;
	struct ocp_am *spare_ams;
	uint32_t spare_ams_n;
	struct ocp_counters counters;
};

/* limits ... features_known, times and callbacks are set by the caller before. 0 or -errno; on
 * failure nothing is left. */
int ocp_agent_init(struct ocp_agent *a, uint64_t now_us);
void ocp_agent_fini(struct ocp_agent *a);

int ocp_agent_input(struct ocp_agent *a, const void *buf, size_t len, void *cookie,
		    uint64_t now_us);
void ocp_agent_tick(struct ocp_agent *a, uint64_t now_us);
uint64_t ocp_agent_next_deadline(const struct ocp_agent *a);
/* Ends everything with callbacks; once. */
void ocp_agent_close(struct ocp_agent *a, enum ocp_end how, const struct ocp_result *result);
/* connection-end, then close with how. */
void ocp_agent_end(struct ocp_agent *a, enum ocp_end how, bool error,
		   const struct ocp_result *result);

/* 0 when the connection takes messages, else -ENOTCONN. */
int ocp_agent_ready(const struct ocp_agent *a);
/* One message. payload NULL unless data-have. Never calls back. 0 or -errno. */
int ocp_agent_send(struct ocp_agent *a, const struct ocp_msg *m, const void *payload, size_t len,
		   void *cookie);
/* Frequent ones, in the connection's dialect. result NULL: none, or, with error, {400} in the core dialect. */
int ocp_agent_send_xaction_end(struct ocp_agent *a, uint32_t xid, bool error,
			       const struct ocp_result *r);
/* Draft only. */
int ocp_agent_send_am(struct ocp_agent *a, enum ocp_msg_type type, uint32_t xid, uint32_t am_id,
		      bool error, const struct ocp_result *r);
int ocp_agent_send_feature(struct ocp_agent *a, enum ocp_msg_type type, const struct ocp_uri *f);
int ocp_agent_ask_feature(struct ocp_agent *a, enum ocp_msg_type type, struct ocp_str uri);
/* data-have messages for len octets at *offset, which advances. */
int ocp_agent_send_data(struct ocp_agent *a, uint32_t xid, uint32_t am_id, uint64_t *offset,
			const void *data, size_t len, void *cookie, const struct ocp_send *send,
			uint64_t flags);
int ocp_agent_probe(struct ocp_agent *a, bool with_xid, uint32_t xid, bool with_am, uint32_t am_id,
		    uint32_t *rid);

/* The answer to our question rid. True: the timers had asked it; they know now. has_xid: the peer maintains xid. */
bool ocp_agent_answered(struct ocp_agent *a, uint32_t rid, bool has_xid, uint32_t xid, bool has_am);

void ocp_agent_fault(struct ocp_agent *a, const struct ocp_xaction *x, enum ocp_fault f);
/* Says that x ends without success, unless it has been said. x stays. */
void ocp_agent_give_up(struct ocp_agent *a, struct ocp_xaction *x);

/* --- transactions --- */
struct ocp_xaction *ocp_agent_find(const struct ocp_agent *a, uint32_t xid);
/* New and in the table; NULL: no memory. */
struct ocp_xaction *ocp_agent_add(struct ocp_agent *a, uint32_t xid, void *user);
/* Out of the table (INV-OCP-A1); then free it, or tell and free. */
void ocp_agent_detach(struct ocp_agent *a, struct ocp_xaction *x);
void ocp_agent_free(struct ocp_agent *a, struct ocp_xaction *x);
void ocp_agent_finish(struct ocp_agent *a, struct ocp_xaction *x,
		      const struct ocp_xaction_ending *e);
/* Progress: its deadline starts again. */
void ocp_agent_touch(struct ocp_agent *a, struct ocp_xaction *x);

struct ocp_am *ocp_xaction_am(const struct ocp_xaction *x, uint32_t am_id);
struct ocp_am *ocp_xaction_am_add(struct ocp_agent *a, struct ocp_xaction *x, uint32_t am_id);
void ocp_xaction_am_drop(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am);

/* --- small things --- */
static inline bool ocp_msg_failed(const struct ocp_msg *m)
{
	return ocp_msg_has(m, OCP_P_ERROR) ||
	       (ocp_msg_has(m, OCP_P_RESULT) && m->result.code != OCP_RESULT_OK);
}
/* Begins `current` from a data-have whose place has been checked; an empty one is reported at once.
 */
void ocp_agent_data_begin(struct ocp_agent *a, const struct ocp_msg *m);
/* The same with an am-id and a part that the message does not say itself (core dialect). */
void ocp_agent_data_begin_as(struct ocp_agent *a, const struct ocp_msg *m, uint32_t am_id, enum ocp_part part);
void ocp_am_info_fill(struct ocp_am_info *i, const struct ocp_msg *m);
#endif
