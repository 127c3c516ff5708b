/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON views of shared memory and of configuration. All functions return new
 * references and never NULL for want of a value; strings of shared memory are
 * read with their bound and made valid UTF-8, as another process writes them.
 */
#ifndef CONTROL_JSON_H
#define CONTROL_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct policy_errors;
struct policy_image;
struct shm_event;
struct shm_flow_row;
struct shm_flow_detail;
struct shm_root;

json_t *control_json_text(const char *s, size_t size);
/* ISO 8601, UTC, microseconds. */
json_t *control_json_time(uint64_t realtime_us);
json_t *control_json_errors(const struct policy_errors *errs);
json_t *control_json_event(const struct shm_event *e, const char *writer, uint64_t seq);
json_t *control_json_rules(const struct policy_image *img);
/* Services the image names, with the state the callout thread reports (root may be NULL: state
 * "unknown"). */
json_t *control_json_services(const struct policy_image *img, const struct shm_root *root);
json_t *control_json_buffers(const struct shm_root *root);
json_t *control_json_counters(const struct shm_root *root);
json_t *control_json_ports(const struct shm_root *root);
/* control_json_flow.c */
json_t *control_json_flow(const struct shm_flow_row *row, unsigned worker);
/* The keys of the row, "halves" (towards client and server; those that exist) and "directions" (from client, from
 * server). What does not apply is null. */
json_t *control_json_flow_detail(const struct shm_flow_detail *d, unsigned worker, const struct shm_root *root);

#endif
