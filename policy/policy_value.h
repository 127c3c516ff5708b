/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scalars of the configuration: text to number. Pure functions, no state. Every
 * one takes the whole NUL-terminated scalar and returns true when all of it was
 * understood.
 */
#ifndef POLICY_VALUE_H
#define POLICY_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include "policy/policy_model.h"

/* Decimal digits, with a leading '-' if min < 0. */
bool policy_value_integer(const char *s, int64_t *out);
/* Octets: 65536, 64KiB, 4MiB, 1GiB. */
bool policy_value_size(const char *s, int64_t *out);
/* Microseconds: 50us, 500ms, 30s, 5m, 1h, 1d. A bare 0 is allowed, any other bare number is not. */
bool policy_value_duration(const char *s, int64_t *out);
/* true/false, yes/no, on/off. */
bool policy_value_bool(const char *s, bool *out);
/* 80 or 8000-8999, both within 0..max. */
bool policy_value_range(const char *s, uint32_t max, struct policy_range *out);
/* 10.0.0.0/8, 192.0.2.1, 2001:db8::/32. NULL, or the reason it was refused. */
const char *policy_value_prefix(const char *s, struct policy_prefix *out);
/* tcp:127.0.0.1:4037, tcp:[::1]:4037, unix:/run/x. NULL, or the reason it was refused. */
const char *policy_value_address(const char *s);
/* The shortest exact form of a size or a duration. */
void policy_value_size_text(int64_t v, char *out, uint32_t cap);
void policy_value_duration_text(int64_t us, char *out, uint32_t cap);

#endif
