/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints the reference part of docs/configuration.md from the reader's tables. */
#include "policy/policy_schema.h"

int main(void)
{
	policy_schema_print(stdout);
	return fflush(stdout) ? 1 : 0;
}
