/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#define RETRY_US 300000

static void json_print(const json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	fputc('\n', stdout);
	fflush(stdout);
}

static int fail(struct cli *cli, const char *text)
{
	json_t *o;

	if (cli->json) {
		o = json_pack("{s:s}", "error", text);
		json_print(o);
		json_decref(o);
	} else {
		fprintf(stderr, "opesctl: %s\n", text);
	}
	return 1;
}

/*
 * Prints an answer (reference stolen). JSON: the result alone, or {"error":...,"errors":[...]}; the
 * exit code tells which. Returns the exit code.
 */
static int answer_print(struct cli *cli, const struct command *cmd, json_t *answer)
{
	bool ok = json_is_true(json_object_get(answer, "ok"));

	if (cli->json && ok) {
		json_print(json_object_get(answer, "result"));
	} else if (cli->json) {
		json_object_del(answer, "ok");
		json_object_del(answer, "id");
		json_print(answer);
	} else if (ok) {
		cli_render(cmd, json_object_get(answer, "result"), stdout);
	} else {
		cli_render_error(answer, stderr);
	}
	fflush(stdout);
	json_decref(answer);
	return ok ? 0 : 1;
}

static bool interrupted(const struct cli *cli)
{
	return cli->interrupted && *cli->interrupted;
}

/* --- events -f
 * ------------------------------------------------------------------------------------ */

static void events_print(struct cli *cli, const json_t *list)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		if (cli->json)
			json_print(e);
		else
			cli_render_event(e, stdout);
	}
	fflush(stdout);
}

/*
 * Asks again and again for what is new; each question waits in opes-control until there is
 * something. Outlives a restart of opes-control. One event a line, with --json one object a line.
 */
static int events_follow(struct cli *cli, const struct command_call *call)
{
	json_int_t last = 0;
	bool first = true;
	char err[256];

	while (!interrupted(cli)) {
		json_t *request = command_request(call, 0), *args, *answer, *result;

		args = json_object_get(request, "args");
		if (!first) {
			json_object_set_new(args, "after", json_integer(last));
			json_object_set_new(args, "wait", json_true());
			json_object_set_new(args, "max", json_integer(100000));
		}
		answer = cli_client_ask(&cli->client, request, err, sizeof(err));
		if (!answer && first)
			return fail(cli, err);
		if (!answer) {
			if (!interrupted(cli))
				usleep(RETRY_US);
			continue;
		}
		if (!json_is_true(json_object_get(answer, "ok")))
			return answer_print(cli, call->command, answer);
		result = json_object_get(answer, "result");
		events_print(cli, json_object_get(result, "events"));
		last = json_integer_value(json_object_get(result, "last"));
		first = false;
		json_decref(answer);
	}
	return 0;
}

/* --- carried out here
 * ----------------------------------------------------------------------------- */

/* Without FILE: the one the daemon uses, or the one packages install. */
static int check(struct cli *cli, const struct command_call *call)
{
	char path[4096], err[256];
	struct cli_client probe;
	json_t *answer;
	const char *file = call->file;

	if (!file) {
		snprintf(path, sizeof(path), "%s", COMMAND_DEFAULT_CONFIG);
		cli_client_init(&probe, cli->client.path);
		answer = cli_client_ask(&probe, json_pack("{s:s}", "command", "status"), err,
					sizeof(err));
		cli_client_close(&probe);
		json_unpack(answer, "{s:{s:s}}", "result", "file", &file);
		if (file)
			snprintf(path, sizeof(path), "%s", file);
		json_decref(answer);
		file = path;
	}
	answer = cli_check(file);
	return answer ? answer_print(cli, call->command, answer) : fail(cli, "out of memory");
}

static int run_local(struct cli *cli, const struct command_call *call)
{
	if (call->command->options & COMMAND_FILE)
		return check(cli, call);
	if (call->command->options & COMMAND_SHELL)
		cli->quit = true;
	else
		cli_render_help(stdout, cli->shell);
	return 0;
}

int cli_run(struct cli *cli, int argc, char **argv)
{
	struct command_call call;
	char err[512];
	json_t *answer;

	if (command_parse(argc, argv, &call, err, sizeof(err))) {
		fail(cli, err);
		return 2;
	}
	if ((call.command->options & COMMAND_SHELL) && !cli->shell)
		return fail(cli, "that is for the interactive mode (opesctl without a command)");
	if (call.command->options & COMMAND_LOCAL)
		return run_local(cli, &call);
	if (call.follow)
		return events_follow(cli, &call);
	answer = cli_client_ask(&cli->client, command_request(&call, 0), err, sizeof(err));
	return answer ? answer_print(cli, call.command, answer) : fail(cli, err);
}
