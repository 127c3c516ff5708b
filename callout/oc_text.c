/* SPDX-License-Identifier: BSD-3-Clause */
/* Small text: strings, names, the notation of a service's configuration. */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OC_OPTIONS_MAX 4096

struct oc_str oc_str(const char *s)
{
	return (struct oc_str){s ? s : "", s ? strlen(s) : 0};
}

bool oc_str_eq(struct oc_str a, const char *b)
{
	size_t len = strlen(b);

	return a.len == len && (len == 0 || memcmp(a.p, b, len) == 0);
}

bool oc_part_is_header(enum oc_part part)
{
	return part == OC_PART_REQUEST_HEADER || part == OC_PART_RESPONSE_HEADER;
}

bool oc_part_is_body(enum oc_part part)
{
	return part == OC_PART_NONE || part == OC_PART_REQUEST_BODY || part == OC_PART_RESPONSE_BODY;
}

const char *oc_kind_name(enum oc_kind kind)
{
	static const char *const names[] = {"-", "request", "response", "stream", "other"};

	return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "-";
}

int oc_error(struct oc_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return rc;
}

static int oc_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t oc_unescape(char *s)
{
	char *to = s, *start = s;

	while (*s) {
		if (*s != '\\' || !s[1]) {
			*to++ = *s++;
			continue;
		}
		s++;
		if (*s == 'x' && oc_hex(s[1]) >= 0 && oc_hex(s[2]) >= 0) {
			*to++ = (char)(oc_hex(s[1]) * 16 + oc_hex(s[2]));
			s += 3;
			continue;
		}
		switch (*s) {
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case 't':
			*to++ = '\t';
			break;
		case '0':
			*to++ = '\0';
			break;
		default:
			*to++ = *s;
		}
		s++;
	}
	*to = '\0';
	return (size_t)(to - start);
}

char *oc_find_unescaped(const char *s, char c)
{
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		else if (*s == c)
			return (char *)(uintptr_t)s;
	}
	return NULL;
}

/* text: `key=value,key=value`, cut up in place. Returns the number, or -E2BIG. */
static int oc_options_split(char *text, struct oc_option *o, unsigned max)
{
	unsigned n = 0;

	while (text && *text) {
		char *comma = oc_find_unescaped(text, ','), *eq;

		if (n == max)
			return -E2BIG;
		if (comma)
			*comma++ = '\0';
		eq = strchr(text, '=');
		if (eq)
			*eq = '\0';
		o[n].key = text;
		o[n++].value = eq ? eq + 1 : "";
		text = comma;
	}
	return (int)n;
}

int oc_loop_service_text(struct oc_loop *loop, const struct oc_service_type *const *types, const char *text,
			 struct oc_error *err)
{
	char *copy = strdup(text), *comma, *uri;
	struct oc_option *o = calloc(OC_OPTIONS_MAX, sizeof(*o));
	const struct oc_service_type *type = NULL;
	int rc = -ENOMEM, n;

	if (!copy || !o) {
		oc_error(err, rc, "out of memory");
		goto out;
	}
	comma = oc_find_unescaped(copy, ',');
	if (comma)
		*comma++ = '\0';
	uri = strchr(copy, ':');
	if (uri)
		*uri++ = '\0';
	for (; *types && !type; types++) {
		if (strcmp((*types)->name, copy) == 0)
			type = *types;
	}
	if (!type) {
		rc = oc_error(err, -ENOENT, "unknown service '%s'", copy);
		goto out;
	}
	if (uri && !*uri) {
		rc = oc_error(err, -EINVAL, "service %s: empty URI", copy);
		goto out;
	}
	n = oc_options_split(comma, o, OC_OPTIONS_MAX);
	rc = n < 0 ? oc_error(err, n, "service %s: too many options", copy)
		   : oc_loop_service(loop, type, uri, o, (size_t)n, err);
out:
	free(o);
	free(copy);
	return rc;
}
