# SPDX-License-Identifier: BSD-3-Clause
"""OPES-System, OPES-Via and OPES-Bypass (RFC 3897, RFC 4236 sections 4 and 5) between curl and nginx or the origin."""

from __future__ import annotations

from opes_api.appliance import HTTP_PORT, ApplianceSuite, url
from opes_api.lab import CLI4, SRV4
from opes_api.suite import func_test, verify

SYSTEM, BOX = "http://opes.example/", "http://opes.example/box1"
OPES = f'system-uri: "{SYSTEM}", processor-uri: "{BOX}"'
AS_IS, FORGER, MUST = "urn:opes:service:as-is", "http://forger.example/", "urn:opes:service:must"


def entry(service: str | None = AS_IS, what: str = "service", more: str = "") -> str:
    """Our trace entry."""
    return f'{SYSTEM};processor="{BOX}"' + (f';{what}="{service}"' if service else "") + more


def fields(head: str, name: str) -> list[str]:
    """Values of the fields of that name in a head."""
    return [line.split(":", 1)[1].strip() for line in head.splitlines()[1:] if line.lower().startswith(name.lower() + ":")]


class TestTracing(ApplianceSuite):
    """Traces of adapted messages and bypass of services, end to end."""

    callout_args = ("as-is", "log",
                    f"header:{FORGER},set=OPES-System: http://forged.example/,remove=OPES-Bypass,add=OPES-Via: http://svc.example/;x=1")

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.nginx = self.lab.start_nginx(
            'location /up/ { add_header OPES-System \'http://up.example/;p="a,b"\'; add_header OPES-Via "http://v1.example/";'
            ' add_header OPES-Via "http://v2.example/"; return 200 "up"; } location /plain/ { return 200 "plain"; }')

    def put(self, *rules: str, opes: str = OPES, must: str = "no") -> None:
        """These rules, with the opes section; the services as-is, forger (header) and must (as-is that may not be bypassed)."""
        self.lab._config_args["extra"] = f"opes: {{{opes}}}\n" if opes else ""
        at = 'address: "tcp:127.0.0.1:4037"'
        self.lab.set_rules("[" + ", ".join(rules) + "]", f'[{{name: as-is, {at}, bypassable: yes}}, {{name: log, {at}}}, '
                           f'{{name: forger, {at}, uri: "{FORGER}", bypassable: yes}}, '
                           f'{{name: must, {at}, uri: "urn:opes:service:as-is", bypassable: {must}}}]')
        self.lab.wait_rules()
        for name in ("as-is", "forger", "must", "log"):
            self.lab.wait_service(name)

    @staticmethod
    def rule(service: str, path: str = "/", action: str = "adapt", more: str = "", port: int = HTTP_PORT) -> str:
        return (f"{{name: {service}{path.replace('/', '-')}{port}, match: {{protocol: http, server-port: {port}, "
                f"path: {{prefix: {path}}}}}, action: {action}, service: {service}{more}}}")

    def ask(self, *curl: str, path: str = "/head", port: int = HTTP_PORT) -> tuple[str, str]:
        """Head of the request as the origin had it, and that of the response as curl had it."""
        head = self.lab.dir / "head"
        head.unlink(missing_ok=True)
        r = self.lab.curl("-D", str(head), *curl, url(path, port=port))
        return r.stdout, head.read_bytes().decode("latin-1")

    # --- traces ----------------------------------------------------------------------------------

    @func_test
    def adapted_messages(self) -> None:
        """Each adapted message has one entry.

        Steps:
            Six requests on one connection to the origin and three to nginx, through as-is; an upload with a chunked body.
        Verify:
            Every request as the origin saw it and every response as curl saw it has OPES-System with the entry of this
            system, once, and no OPES-Via; the bodies are right; all on one connection each.
        """
        self.put(self.rule("as-is"), self.rule("as-is", port=80))
        with self.delta() as d:
            r = self.lab.curl("-i", "-w", "%{num_connects} ", *[url("/head")] * 6)
        verify(r.stdout.count(f"OPES-System: {entry()}\n") + r.stdout.count(f"OPES-System: {entry()}\r\n") == 12, r.stdout)
        verify("OPES-Via" not in r.stdout and r.stdout.split().count("0") >= 5, r.stdout)
        verify(d["trace_added"] == 12 and d["msg_adapted"] == 12 and d["txn_failed"] == 0, f"{d}")
        r = self.lab.curl("-i", *[url(f"/plain/{k}", port=80) for k in range(3)])
        verify(r.stdout.count(f"OPES-System: {entry()}") == 3 and r.stdout.count("plain") == 3, r.stdout)
        r = self.lab.curl("-H", "Transfer-Encoding: chunked", "--data-binary", "x" * 5000, url("/post"))
        verify(r.stdout.startswith("5000 "), r.stdout)

    @func_test
    def existing_fields(self) -> None:
        """Traces that are there already are extended.

        Steps:
            A request with two OPES-System and one OPES-Via fields; a response of nginx with both, OPES-Via twice; then
            with via: always.
        Verify:
            One field of each name; the old entries in their order, then ours, identical in both fields.
        """
        self.put(self.rule("as-is"), self.rule("as-is", port=80))
        seen, _ = self.ask("-H", "OPES-System: http://a.example/,http://b.example/;x=\"1,2\"", "-H", "OPES-Via: http://c.example/",
                           "-H", "OPES-System: http://d.example/")
        verify(fields(seen, "OPES-System") == [f'http://a.example/, http://b.example/;x="1,2", http://d.example/, {entry()}'], seen)
        verify(fields(seen, "OPES-Via") == [f"http://c.example/, {entry()}"], seen)
        _, head = self.ask(path="/up/1", port=80)
        verify(fields(head, "OPES-System") == [f'http://up.example/;p="a,b", {entry()}'], head)
        verify(fields(head, "OPES-Via") == [f"http://v1.example/, http://v2.example/, {entry()}"], head)
        self.put(self.rule("as-is"), opes=OPES + ", via: always")
        seen, head = self.ask()
        verify(fields(seen, "OPES-Via") == fields(seen, "OPES-System") == [entry()], seen)
        verify(fields(head, "OPES-Via") == fields(head, "OPES-System") == [entry()], head)

    @func_test
    def forging_service(self) -> None:
        """A service that changes what is not its business.

        Steps:
            Requests and responses through a service that replaces OPES-System, removes OPES-Bypass and adds an entry to
            OPES-Via; also with service-entries: false.
        Verify:
            OPES-System as it came and our entry; OPES-Bypass as it came; the service's OPES-Via entry before ours, or
            gone; counted.
        """
        self.put(self.rule("forger"), self.rule("forger", port=80))
        with self.delta() as d:
            seen, head = self.ask("-H", "OPES-System: http://a.example/", "-H", f"OPES-Bypass: {AS_IS}")
        verify(fields(seen, "OPES-System") == [f"http://a.example/, {entry(FORGER)}"], seen)
        verify(fields(seen, "OPES-Bypass") == [AS_IS], seen)
        verify(fields(seen, "OPES-Via") == [f"http://svc.example/;x=1, {entry(FORGER)}"], seen)
        verify(fields(head, "OPES-System") == [entry(FORGER)], head)
        verify(d["trace_restored"] == 2, f"{d}")
        _, head = self.ask(path="/up/1", port=80)
        verify(fields(head, "OPES-System") == [f'http://up.example/;p="a,b", {entry(FORGER)}'], head)
        verify(fields(head, "OPES-Via") == [f"http://v1.example/, http://v2.example/, http://svc.example/;x=1, {entry(FORGER)}"], head)
        self.put(self.rule("forger"), opes=OPES + ", service-entries: false")
        seen, head = self.ask("-H", "OPES-Via: http://c.example/")
        verify(fields(seen, "OPES-Via") == [f"http://c.example/, {entry(FORGER)}"] and not fields(head, "OPES-Via"), seen + head)

    @func_test
    def all_messages(self) -> None:
        """trace: all.

        Steps:
            Messages that no rule takes, that are observed, that a rule with bypass takes; without opes, and with trace: off.
        Verify:
            An entry without a service, one that names the observing service, none; none at all in the last two.
        """
        rules = (self.rule("log", "/head/o", "observe"), f"{{name: pass, match: {{protocol: http, server-port: {HTTP_PORT}, "
                 "path: {prefix: /head/p}}, action: bypass}", self.rule("as-is", "/head/a"))
        self.put(*rules, opes=OPES + ", trace: all")
        for path, want in (("/page/200/text.html", entry(None)), ("/head/o", entry("urn:opes:service:log", "observed")),
                           ("/head/p", None), ("/head/a", entry())):
            _, head = self.ask(path=path)
            verify(fields(head, "OPES-System") == ([want] if want else []), f"{path}: {head}")
        for opes in ("", OPES + ", trace: off"):
            self.put(*rules, opes=opes)
            verify("OPES-" not in self.ask(path="/head/a")[1], opes)

    @func_test
    def own_answers(self) -> None:
        """What the appliance says in a server's place, and what goes on without the service.

        Steps:
            A request that a rule blocks; a message whose callout server is gone, policy open; the same, policy answer.
        Verify:
            403 with an entry that says so; the message's entry says that the service failed; 502 with an entry.
        """
        other = self.lab.start_callout("as-is", listen="tcp:127.0.0.1:4038", name="other")
        self.put(f"{{name: no, match: {{protocol: http, server-port: {HTTP_PORT}, path: {{prefix: /no}}}}, action: block}}",
                 self.rule("as-is"))
        _, head = self.ask(path="/no")
        verify(head.startswith("HTTP/1.1 403") and fields(head, "OPES-System") == [entry(None, more=";answer=own")], head)
        rules = [self.rule("gone", "/head", more=", on-failure: open"), self.rule("gone", "/page", more=", on-failure: answer")]
        self.lab.set_rules("[" + ", ".join(rules) + "]", '[{name: gone, address: "tcp:127.0.0.1:4038"}]')
        self.lab.wait_rules()
        self.lab.wait_service("gone")
        other.kill()
        self.lab.wait_service("gone", "down")
        seen, head = self.ask()
        want = [entry("urn:opes:service:gone", "failed")]
        verify(fields(seen, "OPES-System") == want and fields(head, "OPES-System") == want, seen + head)
        _, head = self.ask(path="/page/200/text.html")
        verify(head.startswith("HTTP/1.1 502") and fields(head, "OPES-System") == [entry(None, more=";answer=own")], head)

    @func_test
    def long_traces(self) -> None:
        """The bound of a trace.

        Steps:
            Requests with 100 entries of 42 octets, with trace-overflow cut and refuse.
        Verify:
            The newest entries that fit and ours, counted; 431, and the origin sees nothing.
        """
        entries = [f"http://{k:03}.{'x' * 22}.example" for k in range(100)]
        self.put(self.rule("as-is"), opes=OPES + ", trace-limit: 2KiB")
        with self.delta() as d:
            seen, _ = self.ask("-H", "OPES-System: " + ",".join(entries))
        (value,) = fields(seen, "OPES-System")
        got = value.split(", ")
        verify(len(value) <= 2048 and len(value) > 2048 - 50 and got[-1] == entry() and got[:-1] == entries[-len(got) + 1:], value)
        verify(d["trace_cut"] == 1, f"{d}")
        self.put(self.rule("as-is"), opes=OPES + ", trace-limit: 2KiB, trace-overflow: refuse")
        seen, head = self.ask("-H", "OPES-System: " + ",".join(entries))
        verify(head.startswith("HTTP/1.1 431") and "GET" not in seen, head)
        verify(self.ask()[1].startswith("HTTP/1.1 200"), "the next one")

    # --- bypass ----------------------------------------------------------------------------------

    @func_test
    def bypass_one_of_two(self) -> None:
        """One of two services is named.

        Steps:
            Requests to two paths, each with its own service, that name none, the first, the second, both.
        Verify:
            Just the named ones are not invoked, for request and response; the header arrives at the server; an event.
        """
        self.put(self.two("as-is", "1"), self.two("forger", "2"))
        one, two, none = [entry()], [entry(FORGER)], []
        for value, want in ((None, (one, two)), (AS_IS, (none, two)), (FORGER, (one, none)), (f"{AS_IS},{FORGER}", (none, none))):
            after = self.lab.last_event()
            with self.delta() as d:
                got = self.pair(value)
            verify(got == want, f"{value}: {got}")
            verify(d["bypass_followed"] == 2 * sum(not x for x in want), f"{value}: {d}")
            if value:
                self.lab.wait_event("bypass-followed", after, 5)

    def two(self, service: str, key: str, more: str = "") -> str:
        """A rule for requests with X-Key: key and for all responses of page key."""
        return (f"{{name: {service}-{key}, match: {{protocol: http, server-port: {HTTP_PORT}, kind: request, "
                f"headers: [{{name: X-Key, value: \"{key}\"}}]}}, action: adapt, service: {service}{more}}}, "
                f"{{name: {service}-{key}r, match: {{protocol: http, server-port: {HTTP_PORT}, kind: response, "
                f"path: /page/20{key}/text.html}}, action: adapt, service: {service}{more}}}")

    def pair(self, value: str | None) -> tuple[list[str], list[str]]:
        """OPES-System as two services leave it: of a request to the origin and, equal to it, of a response."""
        more = () if value is None else ("-H", f"OPES-Bypass: {value}" if value else "OPES-Bypass;")
        got = []
        for key in "12":
            seen, _ = self.ask("-H", f"X-Key: {key}", *more)
            verify(fields(seen, "OPES-Bypass") == ([] if value is None else [value]), seen)
            _, head = self.ask(*more, path=f"/page/20{key}/text.html")
            verify(fields(seen, "OPES-System") == fields(head, "OPES-System"), f"{value} {key}: {seen} {head}")
            got.append(fields(seen, "OPES-System"))
        return got[0], got[1]

    @func_test
    def bypass_all(self) -> None:
        """What means all services.

        Steps:
            "*", the URI of the system, of the processor, an unknown URI, an unknown one beside a known one.
        Verify:
            Neither service is invoked (RFC 3897 4.3: an unknown URI is a wildcard).
        """
        self.put(self.two("as-is", "1"), self.two("forger", "2"))
        for value in ("*", SYSTEM, BOX, "http://unknown.example/", f"{AS_IS}, urn:x:unknown"):
            verify(self.pair(value) == ([], []), value)

    @func_test
    def not_bypassable(self) -> None:
        """The operator's policy.

        Steps:
            "*" with a service that may not be bypassed beside one that may; with one that some clients may bypass, of
            which this one is none, then is one; nothing configured.
        Verify:
            It is invoked nevertheless, the trace says why, counted, an event; for a client that may, it is not.
        """
        self.put(self.two("as-is", "1"), self.two("must", "2"))
        after = self.lab.last_event()
        with self.delta() as d:
            got = self.pair("*")
        verify(got == ([], [entry(more=";not-bypassed=policy")]), f"{got}")
        verify(d["bypass_followed"] == 2 and d["bypass_refused"] == 2 and d["bypass_requests"] == 4, f"{d}")
        verify(self.lab.wait_event("bypass-refused", after, 5)["cause"] == "policy", "cause of the event")
        self.put(self.two("as-is", "1"), self.two("must", "2"), must="clients")
        verify(self.pair("*") == ([], [entry(more=";not-bypassed=client")]), "no client may")
        self.put(self.two("as-is", "1"), self.two("must", "2"), must="clients", opes=OPES + f", bypass-clients: [{CLI4}]")
        verify(self.pair("*") == ([], []), "this client may")
        self.put(self.two("as-is", "1", ", bypassable: no"), self.two("must", "2"), must="clients",
                 opes=OPES + f", bypass-clients: [{SRV4}]")
        verify(self.pair("*") == ([entry(more=";not-bypassed=policy")], [entry(more=";not-bypassed=client")]), "by rule")

    @func_test
    def malformed(self) -> None:
        """An OPES-Bypass that cannot be read.

        Steps:
            Nothing, a word, a URI with a space, a quoted one, a good one beside a bad one.
        Verify:
            It is not followed, the trace says so, the header arrives as it was; counted.
        """
        self.put(self.two("as-is", "1"), self.two("forger", "2", ", bypassable: no"))
        why = ";not-bypassed=malformed"
        for value in ("", "all", "http://a b/", f'"{AS_IS}"', f"{AS_IS}, ?"):
            with self.delta() as d:
                got = self.pair(value)
            verify(got == ([entry(more=why)], [entry(FORGER, more=why)]), f"{value!r}: {got}")
            verify(d["bypass_malformed"] == 4 and d["bypass_refused"] == 4, f"{value!r}: {d}")
