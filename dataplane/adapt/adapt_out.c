/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a service returned, framed again for the wire (RFC 9112 section 6).
 *
 *   HEAD --head complete and framing decided--> BODY --trailer octets--> TRAILER --end--> END
 *
 * The head waits until its framing can be decided honestly: the length is known
 * (the adapted message is complete, was announced, or follows from the
 * original), or chunked is possible, or the stream's end will delimit it.
 */
#include "adapt_priv.h"
#include "app/app_rtsp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rte_common.h>

#define HEAD_WAIT 0
#define HEAD_DONE 1
#define HEAD_FAILED -1
#define HEAD_NOMEM -2

static int64_t orig_total(const struct adapt *a)
{
	if (a->orig_done)
		return (int64_t)a->orig_len;
	if (!a->head)
		return -1;
	if (a->head->body == HTTP1_BODY_NONE)
		return (int64_t)a->head_len;
	if (a->head->body == HTTP1_BODY_LENGTH)
		return (int64_t)(a->head_len + a->head->content_length);
	return -1;
}

/* The rest of the original continues the last adapted message. */
static bool rest_next(const struct adapt *a)
{
	return a->rest && a->am_tail - a->am_head <= 1;
}

/* Octets the adapted message will have in all, -1 = not known. */
static int64_t adapted_total(const struct adapt *a, const struct adapt_am *am)
{
	int64_t orig = orig_total(a);

	if (rest_next(a))
		return orig < 0 ? -1 : (int64_t)(am ? am->got : a->rest_got) + orig - (int64_t)a->rest_from;
	if (!am)
		return -1;
	if (am->ended)
		return (int64_t)am->got;
	if (am->sizep >= 0)
		return am->sizep;
	return am->modp == 0 && a->identity_ok ? orig : -1;
}

static bool same_framing(const struct http1_head *h, enum http1_framing f, uint64_t body)
{
	switch (f) {
	case HTTP1_FRAME_KEEP:
		return true;
	case HTTP1_FRAME_LENGTH:
		return h->body == HTTP1_BODY_LENGTH && h->content_length == body;
	case HTTP1_FRAME_CHUNKED:
		return h->body == HTTP1_BODY_CHUNKED;
	case HTTP1_FRAME_CLOSE:
		return h->body == HTTP1_BODY_CLOSE;
	}
	return false;
}

static bool bodyless(const struct adapt *a, const struct http1_head *h)
{
	return h->kind == HTTP1_RESPONSE &&
	       (a->request_head || h->status == 204 || h->status == 304 || h->status < 200);
}

/* Trailer octets of a complete message whose head waits: they are no part of a body with a length. */
static uint64_t trailer_octets(const struct adapt *a)
{
	uint64_t n = 0;

	for (const struct chunk *c = a->hq.head; c; c = c->next)
		n += c->rsvd == ADAPT_TAG_TRAILER ? c->len : 0;
	if (rest_next(a) && a->orig_done && a->body_end != UINT64_MAX)
		n += a->orig_len - RTE_MAX(a->rest_from, a->body_end);
	return n;
}

/* Octets of the adapted message's body, -1: not known, or what was said cannot be. */
static int64_t adapted_body(const struct adapt *a, const struct adapt_am *am, uint32_t head_len, bool complete)
{
	int64_t total;

	if (am && am->el >= 0)
		return am->el;
	total = adapted_total(a, am);
	if (complete && total >= 0)
		total -= (int64_t)trailer_octets(a);
	return total >= (int64_t)head_len ? total - head_len : -1;
}

/* The service said how long the message is going to be. Its word is held against what comes (put_octets). What it said
 * counts trailers, too, unless it was AM-EL. */
static bool said_length(const struct adapt *a, const struct adapt_am *am, const struct http1_head *h)
{
	return am && !rest_next(a) && (am->el >= 0 || am->sizep >= 0) && !http1_find(h, "Trailer");
}

/* Returns HEAD_WAIT when the framing cannot be decided yet. RFC 4236 section 3.8.1. */
static int decide_framing(struct adapt *a, const struct adapt_am *am, const struct http1_head *h,
			  uint32_t head_len, uint64_t *octets)
{
	bool complete = rest_next(a) ? a->orig_done : am && am->ended;
	int64_t body = adapted_body(a, am, head_len, complete);
	bool chunked_ok = a->chunked_ok && h->minor == 1;
	bool was_chunked = a->head->body == HTTP1_BODY_CHUNKED;
	bool was_close = a->head->body == HTTP1_BODY_CLOSE;
	bool said = said_length(a, am, h);
	bool rtsp = h->proto == HTTP1_PROTO_RTSP; /* a length, or no body */

	a->no_body = bodyless(a, h);
	*octets = body >= 0 ? (uint64_t)body : 0;
	if (a->no_body) {
		a->framing = HTTP1_FRAME_KEEP;
	} else if ((h->kind == HTTP1_REQUEST || rtsp) && body == 0 &&
		   (complete || a->head->body == HTTP1_BODY_NONE)) {
		/* Whatever framing the service left in an empty request is not trusted. */
		a->framing = http1_find(h, "Content-Length") || http1_find(h, "Transfer-Encoding")
				     ? HTTP1_FRAME_LENGTH
				     : HTTP1_FRAME_KEEP;
	} else if ((h->kind == HTTP1_REQUEST || rtsp) && body < 0 && a->head->body == HTTP1_BODY_NONE) {
		return HEAD_WAIT; /* GET and the like in chunks is more than servers expect: soon it is known */
	} else if (was_chunked && chunked_ok && !a->to_answer && !(said && body >= 0)) {
		a->framing = HTTP1_FRAME_CHUNKED; /* trailers stay possible */
	} else if (body >= 0 && (!was_chunked || complete || said)) {
		a->framing = HTTP1_FRAME_LENGTH;
	} else if (was_close && a->identity_ok && !a->to_answer) {
		a->framing = HTTP1_FRAME_CLOSE;
	} else if (chunked_ok) {
		a->framing = HTTP1_FRAME_CHUNKED;
	} else if (h->kind == HTTP1_RESPONSE && !rtsp) {
		a->framing = HTTP1_FRAME_CLOSE;
	} else {
		return HEAD_WAIT; /* a request to an HTTP/1.0 receiver needs its length, and so does all of RTSP */
	}
	return HEAD_DONE;
}

/* INV-ADAPT-6: whether a response has a body, or makes a tunnel, goes by what the client asked; and what makes a
 * tunnel is not a service's to say. */
static bool same_expectation(const struct adapt *a, const struct http1_head *h)
{
	if (h->proto == HTTP1_PROTO_RTSP)
		return true;
	if (h->kind == HTTP1_RESPONSE && a->head->interim && !a->to_answer)
		return h->interim; /* the final one is still to come from the server */
	if (h->kind == HTTP1_RESPONSE)
		return h->status != 101 && !(a->request_connect && h->status / 100 == 2);
	return h->method_head == a->head->method_head && h->method_connect == a->head->method_connect &&
	       (!h->upgrade || a->head->upgrade);
}

/* What the head says of us, and what of it is not the service's. 1xx is between the ends. */
static void edit_head(const struct adapt *a, const struct http1_head *h, struct adapt_trace *t)
{
	struct adapt_trace_entry e = {
		.part = a->rest && a->cause != CALLOUT_CAUSE_NONE ? ADAPT_TRACE_FAILED : ADAPT_TRACE_SERVICE,
		.why = a->not_bypassed,
		.service = policy_image_service(a->image, a->rule->service)->uri,
	};

	adapt_trace_edit(t, policy_image_opes(a->image), h, a->to_answer ? NULL : a->head,
			 h->interim || h->proto != HTTP1_PROTO_HTTP ? NULL : &e, a->ctx->trace_text);
}

/* RTSP: a message, and an answer to it, has the CSeq with which it came, whatever the service wrote. */
static bool cseq_goes_back(const struct adapt *a, const struct http1_head *h, struct http1_edit *edit)
{
	const struct http1_field *f = http1_find(a->head, "CSeq"), *now = http1_find(h, "CSeq");

	if (h->proto != HTTP1_PROTO_RTSP || h == a->head || !f)
		return false;
	*edit = (struct http1_edit){"CSeq", a->head->buf + f->value.off, f->value.len};
	return !now || now->value.len != f->value.len || memcmp(h->buf + now->value.off, edit->value, edit->len) != 0;
}

/* Content-MD5 is the original's: only where nothing has changed, and nothing can any more, it stays (RFC 4236 3.8.2). */
static bool md5_goes(const struct adapt *a, const struct adapt_am *am, const struct http1_head *h)
{
	bool same = a->identity_ok && (rest_next(a) || (am && am->ended && a->orig_done && am->got == a->orig_len));

	return !same && !policy_image_service(a->image, a->rule->service)->keep_md5 && http1_find(h, "Content-MD5");
}

/* Moves head_len octets from hq to out, written anew where something of it has changed. All or nothing. */
static int move_head(struct adapt *a, const struct adapt_am *am, const struct http1_head *h, uint32_t head_len,
		     uint64_t body, bool original)
{
	struct chunk_pool *pool = a->ctx->pool;
	bool same = original && same_framing(a->head, a->framing, body);
	enum http1_framing f = same ? HTTP1_FRAME_KEEP : a->framing;
	struct http1_edit edit[RTE_DIM(((struct adapt_trace *)0)->edit) + 2];
	struct adapt_trace t;
	uint32_t edits;
	int n;

	edit_head(a, h, &t);
	edits = t.edits;
	memcpy(edit, t.edit, edits * sizeof(edit[0]));
	if (md5_goes(a, am, h))
		edit[edits++] = (struct http1_edit){.name = "Content-MD5"};
	edits += cseq_goes_back(a, h, &edit[edits]);
	if (same && !edits) {
		if (a->orig_head.head)
			chunkq_append(&a->out, &a->orig_head);
		else if (chunkq_ref(pool, &a->out, &a->hq, 0, head_len) != 0)
			return HEAD_NOMEM;
	} else {
		n = http1_write_head_edited(h, f, body, f == HTTP1_FRAME_CLOSE, edit, edits, a->ctx->scratch, ADAPT_SCRATCH);
		if (n < 0)
			return HEAD_FAILED;
		if (chunkq_put(pool, &a->out, a->ctx->scratch, (uint32_t)n) != 0)
			return HEAD_NOMEM;
	}
	adapt_count(a, STATS_trace_added, t.traced);
	adapt_count(a, STATS_trace_cut, t.cut);
	adapt_count(a, STATS_trace_restored, t.restored);
	chunkq_drop(pool, &a->hq, head_len);
	return HEAD_DONE;
}

static int emit_head(struct adapt *a, const struct adapt_am *am, const struct http1_head *h,
		     uint32_t head_len, bool original)
{
	uint64_t body;
	int rc;

	if (!same_expectation(a, h))
		return HEAD_FAILED;
	if (decide_framing(a, am, h, head_len, &body) == HEAD_WAIT)
		return HEAD_WAIT;
	rc = move_head(a, am, h, head_len, body, original);
	if (rc != HEAD_DONE)
		return rc;
	a->left_octets = body;
	a->el_left = am ? am->el : -1;
	a->close_after = a->framing == HTTP1_FRAME_CLOSE;
	a->head_out = true;
	a->heads_out++;
	a->out_head = h->method_head;
	a->out_connect = h->method_connect;
	a->out_upgrade = h->upgrade;
	a->out_minor = h->minor;
	a->out_keep_alive = h->keep_alive;
	/* A 1xx of the service is a message of its own: the final one follows in the next adapted message. */
	a->out_interim = h->kind == HTTP1_RESPONSE && h->interim;
	a->out_state = ADAPT_OUT_BODY;
	return HEAD_DONE;
}

static int parse_adapted_head(struct adapt *a, bool end, uint32_t *len)
{
	enum http1_kind kind = a->kind == POLICY_KIND_REQUEST && !a->to_answer ? HTTP1_REQUEST
									      : HTTP1_RESPONSE;
	uint32_t n = (uint32_t)RTE_MIN(a->hq.bytes, (uint64_t)HTTP1_HEAD_MAX);
	int rc;

	/* The head's spans must outlive the framing that is written into scratch: parse it in its upper part. */
	chunkq_copy(&a->hq, 0, a->ctx->head_copy, n);
	rc = a->head->proto == HTTP1_PROTO_RTSP ? rtsp_parse_head(a->ctx->scratch_head, a->ctx->head_copy, n)
						: http1_parse_head(a->ctx->scratch_head, kind, a->ctx->head_copy, n);
	if (rc > 0 && a->ctx->scratch_head->kind != kind) {
		/* RTSP says itself what it is: the answer to a request, which the dialect core has no word for there. */
		if (kind == HTTP1_RESPONSE || a->head_out)
			return HEAD_FAILED;
		a->to_answer = true;
	}
	if (rc > 0) {
		*len = (uint32_t)rc;
		return HEAD_DONE;
	}
	return rc == 0 && !end && n < HTTP1_HEAD_MAX ? HEAD_WAIT : HEAD_FAILED;
}

static int out_head(struct adapt *a, const struct adapt_am *am, bool end)
{
	uint32_t len = 0;
	int rc;

	if (a->hq.bytes == 0 && !end)
		return HEAD_WAIT;
	/* Octets of the original's head, all of them and in order: it is parsed already. */
	if (a->identity_ok && a->hq.bytes >= a->head_len)
		return emit_head(a, am, a->head, (uint32_t)a->head_len, true);
	rc = parse_adapted_head(a, end, &len);
	if (rc != HEAD_DONE)
		return rc;
	return emit_head(a, am, a->ctx->scratch_head, len, false);
}

/* Chunked: what goes around the octets is made before any of them moves, so that a lack of memory changes nothing. */
static int put_chunked(struct adapt *a, struct chunkq *body, struct chunkq *trailer, bool end)
{
	struct chunk_pool *pool = a->ctx->pool;
	struct chunkq line, crlf, last, final;
	bool trail = a->out_state == ADAPT_OUT_TRAILER, begin = !trail && (trailer->bytes || end);
	char text[HTTP1_CHUNK_SIZE_TEXT];

	if (trail && body->bytes)
		return -EBADMSG; /* the body is over */
	chunkq_init(&line);
	chunkq_init(&crlf);
	chunkq_init(&last);
	chunkq_init(&final);
	if ((body->bytes && (chunkq_put(pool, &line, text, http1_write_chunk_size(text, body->bytes)) != 0 ||
			     chunkq_put(pool, &crlf, "\r\n", 2) != 0)) ||
	    (begin && chunkq_put(pool, &last, "0\r\n", 3) != 0) ||
	    (end && chunkq_put(pool, &final, "\r\n", 2) != 0)) {
		chunkq_purge(pool, &line);
		chunkq_purge(pool, &crlf);
		chunkq_purge(pool, &last);
		return -ENOMEM;
	}
	chunkq_append(&a->out, &line);
	chunkq_append(&a->out, body);
	chunkq_append(&a->out, &crlf);
	chunkq_append(&a->out, &last);
	chunkq_append(&a->out, trailer);
	chunkq_append(&a->out, &final);
	if (begin)
		a->out_state = ADAPT_OUT_TRAILER;
	return 0;
}

/* Takes all of body and trailer, or nothing of them. 0, -ENOMEM, -EMSGSIZE: not the length that was announced,
 * -EBADMSG. */
static int put_octets(struct adapt *a, struct chunkq *body, struct chunkq *trailer, bool end)
{
	uint64_t n = body->bytes;
	int rc = 0;

	if (!a->head) {
		a->head_out |= body->bytes != 0;
		chunkq_append(&a->out, body);
		return 0;
	}
	if (a->no_body)
		return 0;
	if (a->el_left >= 0 && (n > (uint64_t)a->el_left || (end && n != (uint64_t)a->el_left)))
		return -EMSGSIZE;
	if (a->framing == HTTP1_FRAME_CHUNKED) {
		rc = put_chunked(a, body, trailer, end);
	} else {
		if (a->framing != HTTP1_FRAME_CLOSE) {
			if (n > a->left_octets || (end && n != a->left_octets))
				return -EMSGSIZE;
			a->left_octets -= n;
		}
		chunkq_append(&a->out, body); /* RFC 9110 6.5.1: trailers may be dropped */
	}
	if (rc == 0 && a->el_left >= 0)
		a->el_left -= (int64_t)n;
	return rc;
}

/* Moves arrived octets on; end: nothing follows them. What cannot go yet stays in hq. 1: message complete, 0: waits,
 * <0 failed; -ENOMEM: nothing has changed, call again. */
static int out_message(struct adapt *a, struct adapt_am *am, struct chunkq *src, bool end)
{
	struct chunkq body, trailer;
	struct chunk *c;
	int rc;

	chunkq_append(&a->hq, src);
	if (a->out_state == ADAPT_OUT_HEAD) {
		rc = out_head(a, am, end);
		if (rc == HEAD_WAIT && (end || a->hq.bytes > ADAPT_BACKLOG_MAX))
			return -EMSGSIZE;
		if (rc != HEAD_DONE)
			return rc == HEAD_WAIT ? 0 : rc == HEAD_NOMEM ? -ENOMEM : -EBADMSG;
	}
	chunkq_init(&body);
	chunkq_init(&trailer);
	while ((c = chunkq_pop(&a->hq)) != NULL)
		chunkq_push(c->rsvd == ADAPT_TAG_TRAILER && a->head ? &trailer : &body, c);
	rc = put_octets(a, &body, &trailer, end);
	if (rc == -ENOMEM) {
		chunkq_append(&a->hq, &body);
		chunkq_append(&a->hq, &trailer);
		return rc;
	}
	chunkq_purge(a->ctx->pool, &body);
	chunkq_purge(a->ctx->pool, &trailer);
	return rc < 0 ? rc : end;
}

static void out_broken(struct adapt *a, int rc)
{
	const char *text = rc == -EMSGSIZE ? "the adapted message's length differs from the one announced"
			   : rc == -ENOENT ? "the original's octets that were to go on were not kept"
					   : "the adapted message has no valid HTTP head or trailer";

	if (rc == -ENOMEM) {
		a->starved = true; /* adapt_deadline: tried again soon */
		return;
	}
	a->identity_ok = false; /* what arrived is forgotten if nothing is on the wire, and cannot be made good else */
	if (!a->end_called) {
		adapt_fail(a, CALLOUT_CAUSE_FRAMING, text);
	} else {
		a->cause = CALLOUT_CAUSE_FRAMING;
		a->status = ADAPT_ABORT;
		adapt_note(a, "fail-closed", UINT64_MAX, text);
	}
}

static void next_message(struct adapt *a)
{
	if (!a->head)
		return;
	a->out_state = ADAPT_OUT_HEAD;
	a->no_body = false;
}

/* The originals from rest_from on, as far as they have arrived. */
static void out_rest(struct adapt *a, struct adapt_am *am)
{
	struct chunkq q;
	uint64_t n = RTE_MIN(a->orig_len - a->rest_from, (uint64_t)ADAPT_OUT_MAX);
	int rc;

	chunkq_init(&q);
	rc = adapt_keep_ref(a, a->rest_from, n, &q);
	if (rc != 0) {
		out_broken(a, rc);
		return;
	}
	if (a->identity_ok && a->rest_from == a->identity && (!am || am->got == a->identity))
		a->identity += n;
	else if (n)
		a->identity_ok = false;
	if (am)
		am->got += n;
	else
		a->rest_got += n;
	a->rest_from += n;
	rc = out_message(a, am, &q, a->orig_done && a->rest_from == a->orig_len);
	if (rc < 0)
		out_broken(a, rc);
	else if (rc == 1)
		a->status = a->orig_ok || a->framing == HTTP1_FRAME_CLOSE ? ADAPT_DONE : ADAPT_ABORT;
}

/* What the service sent before it left or was given up; then the rest. False: no more for now. */
static bool out_last(struct adapt *a, struct adapt_am *am, bool again)
{
	int rc;

	if (am && !chunkq_empty(&am->q)) {
		rc = out_message(a, am, &am->q, false);
		if (rc < 0) {
			out_broken(a, rc);
			return false;
		}
	}
	if (a->rest_from == a->orig_len && !a->orig_done && !again)
		return false;
	out_rest(a, am);
	return !a->starved && !(a->rest_from == a->orig_len && !a->orig_done);
}

void adapt_out_pump(struct adapt *a)
{
	bool again = a->starved;
	struct adapt_am *am;
	int rc;

	a->starved = false;
	while (a->status == ADAPT_RUNNING && a->out.bytes < ADAPT_OUT_MAX) {
		am = adapt_am_current(a);
		if (rest_next(a) && (!am || (am->ended && chunkq_empty(&am->q)) || a->end_called)) {
			if (!out_last(a, am, again))
				return;
			again = false;
			continue;
		}
		if (!am)
			break;
		if (chunkq_empty(&am->q) && !am->ended && !again)
			return;
		again = false;
		if (!a->head_out)
			a->to_answer = am->answers;
		rc = out_message(a, am, &am->q, am->ended);
		if (rc < 0) {
			out_broken(a, rc);
			if (a->starved)
				return;
			continue;
		}
		if (rc == 0)
			return;
		a->am_head++;
		if (a->mail || (a->head && (!a->out_interim || a->head->interim))) {
			a->status = ADAPT_DONE; /* one final message for each original: the next would answer nobody */
			return;
		}
		next_message(a);
	}
	if (a->status != ADAPT_RUNNING || adapt_am_current(a) || !a->peer_ended || a->rest)
		return;
	if (a->any_am || !(a->head || a->mail) || (a->head && a->head->interim)) {
		a->status = ADAPT_DONE;
	} else {
		a->cause = CALLOUT_CAUSE_NONE; /* the service answered with no message at all */
		a->status = ADAPT_ANSWER;
	}
}
