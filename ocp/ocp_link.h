/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside libocp: circular doubly linked lists. */
#ifndef OCP_LINK_H
#define OCP_LINK_H

struct ocp_link {
	struct ocp_link *prev, *next;
};

static inline void ocp_link_init(struct ocp_link *l)
{
	l->prev = l->next = l;
}

/* l is outside of any list afterwards; harmless when it was. */
static inline void ocp_link_remove(struct ocp_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	ocp_link_init(l);
}

static inline void ocp_link_append(struct ocp_link *head, struct ocp_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}
#endif
