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

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rte_common.h>

#define HEAD_WAIT 0
#define HEAD_DONE 1
#define HEAD_FAILED -1

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

/* Octets the adapted message will have in all, -1 = not known. */
static int64_t adapted_total(const struct adapt *a, const struct adapt_am *am)
{
	int64_t orig = orig_total(a);

	if (a->rest)
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

/* Returns HEAD_WAIT when the framing cannot be decided yet. */
static int decide_framing(struct adapt *a, const struct adapt_am *am, const struct http1_head *h,
			  uint32_t head_len, uint64_t *body)
{
	int64_t total = adapted_total(a, am);
	bool complete = a->rest ? a->orig_done : am && am->ended;
	bool chunked_ok = a->chunked_ok && h->minor == 1;
	bool was_chunked = a->head->body == HTTP1_BODY_CHUNKED;
	bool was_close = a->head->body == HTTP1_BODY_CLOSE;

	a->no_body = bodyless(a, h);
	*body = total >= (int64_t)head_len ? (uint64_t)total - head_len : 0;
	if (a->no_body) {
		a->framing = HTTP1_FRAME_KEEP;
	} else if (h->kind == HTTP1_REQUEST && total >= 0 && *body == 0 &&
		   (complete || a->head->body == HTTP1_BODY_NONE)) {
		/* Whatever framing the service left in an empty request is not trusted. */
		a->framing = http1_find(h, "Content-Length") || http1_find(h, "Transfer-Encoding")
				     ? HTTP1_FRAME_LENGTH
				     : HTTP1_FRAME_KEEP;
	} else if (was_chunked && chunked_ok && !a->to_answer) {
		a->framing = HTTP1_FRAME_CHUNKED; /* trailers stay possible */
	} else if (total >= (int64_t)head_len && !(was_chunked && !complete)) {
		a->framing = HTTP1_FRAME_LENGTH;
	} else if (was_close && a->identity_ok && !a->to_answer) {
		a->framing = HTTP1_FRAME_CLOSE;
	} else if (chunked_ok) {
		a->framing = HTTP1_FRAME_CHUNKED;
	} else if (h->kind == HTTP1_RESPONSE) {
		a->framing = HTTP1_FRAME_CLOSE;
	} else {
		return HEAD_WAIT; /* a request to an HTTP/1.0 receiver needs its length */
	}
	return HEAD_DONE;
}

static int emit_head(struct adapt *a, const struct adapt_am *am, const struct http1_head *h,
		     uint32_t head_len, bool original)
{
	struct chunk_pool *pool = a->ctx->pool;
	uint64_t body;
	int n;

	if (decide_framing(a, am, h, head_len, &body) == HEAD_WAIT)
		return HEAD_WAIT;
	if (original && same_framing(a->head, a->framing, body)) {
		if (chunkq_move(pool, &a->out, &a->hq, head_len) != 0)
			return HEAD_FAILED;
	} else {
		n = http1_write_head(h, a->framing, body, a->framing == HTTP1_FRAME_CLOSE,
				     a->ctx->scratch, HTTP1_HEAD_MAX + 4096);
		if (n < 0 || chunkq_put(pool, &a->out, a->ctx->scratch, (uint32_t)n) != 0)
			return HEAD_FAILED;
		chunkq_drop(pool, &a->hq, head_len);
	}
	a->left_octets = body;
	a->close_after = a->framing == HTTP1_FRAME_CLOSE;
	a->head_out = true;
	a->heads_out++;
	a->out_head = h->method_head;
	a->out_connect = h->method_connect;
	a->out_upgrade = h->upgrade;
	a->out_minor = h->minor;
	/* A 1xx of the service is a message of its own: the final one follows in the next adapted message. */
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
	rc = http1_parse_head(a->ctx->scratch_head, kind, a->ctx->head_copy, n);
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
	if (a->identity_ok && (a->rest ? a->rest_from >= a->identity : true) && a->hq.bytes >= a->head_len)
		return emit_head(a, am, a->head, (uint32_t)a->head_len, true);
	rc = parse_adapted_head(a, end, &len);
	if (rc != HEAD_DONE)
		return rc;
	return emit_head(a, am, a->ctx->scratch_head, len, false);
}

static int put_chunk(struct adapt *a, struct chunkq *body)
{
	struct chunkq q;
	char line[24];
	int n = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)body->bytes);

	chunkq_init(&q);
	if (chunkq_put(a->ctx->pool, &q, line, (uint32_t)n) != 0)
		return -ENOMEM;
	chunkq_append(&a->out, &q);
	chunkq_append(&a->out, body);
	return chunkq_put(a->ctx->pool, &a->out, "\r\n", 2);
}

/* Takes all of body. 0, -ENOMEM, -EMSGSIZE: more than the length that was announced. */
static int put_body(struct adapt *a, struct chunkq *body)
{
	if (body->bytes == 0)
		return 0;
	if (a->no_body) {
		chunkq_purge(a->ctx->pool, body);
		return 0;
	}
	if (!a->head || a->framing == HTTP1_FRAME_CLOSE) {
		chunkq_append(&a->out, body);
		a->head_out = true;
		return 0;
	}
	if (a->framing == HTTP1_FRAME_CHUNKED)
		return put_chunk(a, body);
	if (body->bytes > a->left_octets)
		return -EMSGSIZE;
	a->left_octets -= body->bytes;
	chunkq_append(&a->out, body);
	return 0;
}

static int put_trailer(struct adapt *a, struct chunkq *q)
{
	if (q->bytes == 0)
		return 0;
	if (!a->head || a->framing != HTTP1_FRAME_CHUNKED || a->no_body) {
		chunkq_purge(a->ctx->pool, q); /* RFC 9110 6.5.1: trailers may be dropped */
		return 0;
	}
	if (a->out_state == ADAPT_OUT_BODY) {
		if (chunkq_put(a->ctx->pool, &a->out, "0\r\n", 3) != 0)
			return -ENOMEM;
		a->out_state = ADAPT_OUT_TRAILER;
	}
	chunkq_append(&a->out, q);
	return 0;
}

static int put_end(struct adapt *a)
{
	if (a->head && a->framing == HTTP1_FRAME_CHUNKED && !a->no_body) {
		const char *s = a->out_state == ADAPT_OUT_TRAILER ? "\r\n" : "0\r\n\r\n";

		if (chunkq_put(a->ctx->pool, &a->out, s, (uint32_t)strlen(s)) != 0)
			return -ENOMEM;
	} else if (a->head && a->framing == HTTP1_FRAME_LENGTH && a->left_octets && !a->no_body) {
		return -EMSGSIZE;
	}
	return 0;
}

/* Moves arrived octets on; end: nothing follows them. 1: message complete, 0: waits, <0 failed. */
static int out_message(struct adapt *a, struct adapt_am *am, struct chunkq *src, bool end)
{
	struct chunkq body, trailer;
	struct chunk *c;
	int rc = 0;

	if (a->out_state == ADAPT_OUT_HEAD) {
		chunkq_append(&a->hq, src);
		rc = out_head(a, am, end);
		if (rc == HEAD_FAILED)
			return -EBADMSG;
		if (rc == HEAD_WAIT)
			return 0;
		chunkq_append(src, &a->hq);
	}
	chunkq_init(&body);
	chunkq_init(&trailer);
	while ((c = chunkq_pop(src)) != NULL)
		chunkq_push(c->rsvd == ADAPT_TAG_TRAILER && a->head ? &trailer : &body, c);
	rc = put_body(a, &body);
	if (rc == 0)
		rc = put_trailer(a, &trailer);
	chunkq_purge(a->ctx->pool, &body);
	chunkq_purge(a->ctx->pool, &trailer);
	if (rc == 0 && end)
		rc = put_end(a);
	return rc < 0 ? rc : end;
}

static void out_broken(struct adapt *a, int rc)
{
	const char *text = rc == -ENOMEM ? "no packet buffer for the adapted message"
			   : rc == -EMSGSIZE
				   ? "the adapted message's length differs from the one announced"
				   : "the adapted message has no valid HTTP head";

	if (!a->end_called) {
		if (!a->head_out)
			a->identity_ok = false; /* what arrived is forgotten, not emitted */
		adapt_fail(a, rc == -ENOMEM ? CALLOUT_CAUSE_OVERLOAD : CALLOUT_CAUSE_FRAMING, text);
	} else {
		a->cause = rc == -ENOMEM ? CALLOUT_CAUSE_OVERLOAD : CALLOUT_CAUSE_FRAMING;
		a->status = ADAPT_ABORT;
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
	uint64_t n = a->orig_len - a->rest_from;
	int rc;

	chunkq_init(&q);
	if (n > ADAPT_OUT_MAX)
		n = ADAPT_OUT_MAX;
	rc = adapt_keep_ref(a, a->rest_from, n, &q);
	if (rc == -ENOMEM)
		return; /* again at the next pump */
	if (rc != 0) {
		out_broken(a, rc);
		return;
	}
	if (am && am->got == a->identity && a->identity_ok)
		a->identity += n;
	else if (!am && a->identity_ok)
		a->identity += n;
	if (am)
		am->got += n;
	else
		a->rest_got += n;
	a->rest_from += n;
	rc = out_message(a, am, &q, a->orig_done && a->rest_from == a->orig_len);
	chunkq_purge(a->ctx->pool, &q);
	if (rc < 0)
		out_broken(a, rc);
	else if (rc == 1)
		a->status = a->orig_ok || a->framing == HTTP1_FRAME_CLOSE ? ADAPT_DONE : ADAPT_ABORT;
}

void adapt_out_pump(struct adapt *a)
{
	struct adapt_am *am;
	int rc;

	while (a->status == ADAPT_RUNNING && a->out.bytes < ADAPT_OUT_MAX) {
		am = adapt_am_current(a);
		if (a->rest && (!am || (am->ended && chunkq_empty(&am->q)) || a->end_called)) {
			if (am && !chunkq_empty(&am->q)) {
				rc = out_message(a, am, &am->q, false);
				if (rc < 0) {
					out_broken(a, rc);
					return;
				}
			}
			if (a->rest_from == a->orig_len && !a->orig_done)
				return;
			out_rest(a, am);
			continue;
		}
		if (!am)
			break;
		if (chunkq_empty(&am->q) && !am->ended)
			return;
		if (!a->head_out)
			a->to_answer = am->answers;
		rc = out_message(a, am, &am->q, am->ended);
		if (rc < 0) {
			out_broken(a, rc);
			continue;
		}
		if (rc == 0)
			return;
		a->am_head++;
		next_message(a);
	}
	if (a->status != ADAPT_RUNNING || adapt_am_current(a) || !a->peer_ended || a->rest)
		return;
	if (a->any_am || !a->head) {
		a->status = ADAPT_DONE;
	} else {
		a->cause = CALLOUT_CAUSE_NONE; /* the service answered with no message at all */
		a->status = ADAPT_ANSWER;
	}
}
