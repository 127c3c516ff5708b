/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of services and features in wire form. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ocp/ocp_message.h"

bool ocp_list_next(const struct ocp_list *l, uint32_t *at, struct ocp_uri *u)
{
	const char *p, *end;
	size_t n;

	if (l->wire.len < 2 || *at + 1 >= l->wire.len)
		return false;
	p = l->wire.p + *at + 1; /* behind the bracket or the comma */
	end = l->wire.p + l->wire.len;
	if (*p != '{')
		return false;
	n = ocp_value_len(p, end);
	if (n < 2 || (size_t)(end - p) <= n || p[n - 1] != '}')
		return false;
	if (ocp_structure((struct ocp_token){p, n}, &u->uri, &u->more))
		return false;
	*at += (uint32_t)n + 1;
	return true;
}

struct ocp_list ocp_list_of(struct ocp_str wire)
{
	struct ocp_list l = {wire, 0};
	struct ocp_uri u;
	uint32_t at = 0;

	if (wire.len < 2 || wire.p[0] != '(')
		return OCP_LIST_EMPTY;
	while ((!at || wire.p[at] == ',') && ocp_list_next(&l, &at, &u))
		l.count++;
	if (!at) /* no item: nothing but brackets */
		at = 1;
	if (at != wire.len - 1 || wire.p[at] != ')')
		return OCP_LIST_EMPTY;
	return l;
}

int ocp_list_add(char *buf, size_t cap, size_t *len, const struct ocp_uri *u)
{
	char open[16];
	int n = snprintf(open, sizeof(open), "%s{\"%u:", *len > 2 ? "," : "(", u->uri.len);
	size_t keep = *len > 2 ? *len - 1 : 0; /* without the closing bracket */
	size_t want = keep + (size_t)n + u->uri.len + 1 + u->more.len + 2;
	char *p = buf + keep;

	if (*len && (*len < 2 || buf[0] != '(' || buf[*len - 1] != ')'))
		return -EINVAL;
	if (want > cap)
		return -ENOSPC;
	memcpy(p, open, (size_t)n);
	p += n;
	if (u->uri.len)
		memcpy(p, u->uri.p, u->uri.len);
	p += u->uri.len;
	*p++ = '"';
	if (u->more.len)
		memcpy(p, u->more.p, u->more.len);
	memcpy(p + u->more.len, "})", 2);
	*len = want;
	return 0;
}
