# SPDX-License-Identifier: BSD-3-Clause
"""Every service and every action of a rule over HTTP; which rule takes which message; ambiguous framing refused."""

from __future__ import annotations

from opes_api.appliance import ECHO_PORT, HTTP_PORT, ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4
from opes_api.objects import EICAR, content
from opes_api.suite import func_test, verify

BOTH = "[request, response]"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
HEAD = b"POST /ambiguous HTTP/1.1\r\nHost: t\r\n"

AMBIGUOUS_REQUESTS = {
    "Content-Length and Transfer-Encoding": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding and Content-Length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "a list of lengths": HEAD + b"Content-Length: 5, 6\r\n\r\nabcde",
    "a signed length": HEAD + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length with more": HEAD + b"Content-Length: 5x\r\n\r\nabcde",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabcde",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded field": HEAD + b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde",
    "bare LF": b"POST /ambiguous HTTP/1.1\nHost: t\nContent-Length: 0\n\n",
    "bare CR": HEAD + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a zero octet": HEAD + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /ambiguous HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no Host": b"POST /ambiguous HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two Hosts": HEAD + b"Host: u\r\nContent-Length: 0\r\n\r\n",
    "a hexadecimal prefix": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
    "an overflowing chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF1\r\nabcde\r\n0\r\n\r\n",
    "a chunk without its end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n",
    "a bare LF after a size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n",
}
OKAY = b"HTTP/1.1 200 OK\r\n"
AMBIGUOUS_RESPONSES = {
    "Content-Length and Transfer-Encoding": OKAY + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
    "two lengths": OKAY + b"Content-Length: 6\r\nContent-Length: 7\r\n\r\npoison.",
    "a signed length": OKAY + b"Content-Length: +6\r\n\r\npoison",
    "an unknown coding": OKAY + b"Transfer-Encoding: cow\r\n\r\npoison",
    "a folded field": OKAY + b"X-A: b\r\n Content-Length: 6\r\n\r\npoison",
    "space before the colon": OKAY + b"Content-Length : 6\r\n\r\npoison",
    "no HTTP": b"poison\r\n\r\n",
}


class TestServices(ApplianceSuite):
    """opes-callout's services and the rules' actions, end to end."""

    origin_args = ("--log",)
    callout_args = ("as-is", "echo", "replace,replace=Bluebird=(withheld)", "block", "log",
                    "header,add=X-Opes: seen,remove=X-Remove,set=X-Page: changed",
                    "block:urn:example:words,eicar=no,pattern=forbidden,pattern=secret\\, really,nocase=yes")

    def get(self, path: str, *curl: str, port: int = HTTP_PORT) -> tuple[str, str, bytes]:
        """Status, head and body of a request with curl ("exit N" instead of a status where curl fails)."""
        head, body = self.lab.dir / "head", self.lab.dir / "body"
        for f in (head, body):
            f.unlink(missing_ok=True)
        r = self.lab.curl("-D", str(head), "-o", str(body), "-w", "%{http_code}", *curl, url(path, port=port),
                          check=False)
        return (r.stdout if r.returncode == 0 else f"exit {r.returncode}",
                head.read_text("latin-1") if head.exists() else "", body.read_bytes() if body.exists() else b"")

    def reached(self, text: str) -> bool:
        """Whether the origin saw a request with text in its line."""
        return text in self.origin.output()

    # --- services --------------------------------------------------------------------------------

    @func_test
    def block_download(self) -> None:
        """The EICAR test file in a download.

        Steps:
            Fetch bodies with it in the middle, sent in pieces of 1, 5, 68 and 1,000 octets, with Content-Length and
            chunked; the same bodies without it.
        Verify:
            With it: 403, the page of the service, no octet of the pattern; without: the body.
        """
        self.use(adapt_rule("block", on_failure="closed"), names=("block",))
        filler = content(3, 150).replace(b"X5O", b"...")
        for mode in ("length", "chunked"):
            for step in (1, 5, 68, 1000):
                with self.delta() as d:
                    bad = self.get(f"/raw/{mode}/{step}/{(filler + EICAR + filler).hex()}")
                    good = self.get(f"/raw/{mode}/{step}/{(filler + EICAR[:-1] + filler).hex()}")
                verify(bad[0] == "403" and b"Blocked" in bad[2], f"{mode} {step}: {bad}")
                verify(EICAR[20:] not in bad[2] and filler[:50] not in bad[2], f"{mode} {step}: the body passed")
                verify(good[0] == "200" and good[2] == filler + EICAR[:-1] + filler, f"{mode} {step}: {good[0]}")
                verify(d["msg_adapted"] == 2 and d["txn_failed"] == 0, f"{d}")

    @func_test
    def block_large_download(self) -> None:
        """The EICAR test file behind more than the service holds back.

        Steps:
            Fetch 3 MiB with it at the end, with Content-Length and chunked.
        Verify:
            The client has a beginning of the body, then the transfer breaks; the pattern's end never arrives.
        """
        self.use(adapt_rule("block"), names=("block",))
        for mode in ("length", "chunked"):
            status, _, body = self.get(f"/eicar/{mode}/{3 << 20}")
            whole = content(1, 3 << 20) + EICAR
            verify(status.startswith("exit "), f"{mode}: curl says {status}")
            verify(len(body) < len(whole) and whole.startswith(body), f"{mode}: {same(body, whole)}")

    @func_test
    def block_upload(self) -> None:
        """The EICAR test file in an upload.

        Steps:
            POST it with Content-Length and chunked; POST something harmless.
        Verify:
            403, and the server never sees the request; the harmless one arrives.
        """
        self.use(adapt_rule("block", kind="request"), names=("block",))
        for k, more in enumerate((("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"))):
            file = self.lab.dir / "post"
            file.write_bytes(content(5, 9000) + EICAR)
            status, _, body = self.get(f"/virus-{k}", "--data-binary", f"@{file}", *more)
            verify(status == "403" and b"Blocked" in body, f"{more}: {status} {body!r}")
            file.write_bytes(content(5, 9000))
            status, _, body = self.get(f"/clean-{k}", "--data-binary", f"@{file}", *more)
            verify(status == "200" and body.startswith(b"9000 "), f"{more}: {status} {body!r}")
        verify(not self.reached("/virus-"), "the server saw the request")
        verify(all(self.reached(f"/clean-{k}") for k in range(3)), "the server did not see the harmless ones")

    @func_test
    def block_words(self) -> None:
        """Own patterns, one with a comma, any case; two instances of one service.

        Steps:
            Fetch bodies with and without them through the instance with another URI.
        Verify:
            403 for those with a pattern, EICAR passes this instance.
        """
        rule = adapt_rule("words")
        self.lab.set_rules(f"[{rule}]", '[{name: words, address: "tcp:127.0.0.1:4037", uri: "urn:example:words"}]')
        self.lab.wait_service("words")
        for body, want in ((b"a FORBIDDEN word", "403"), (b"a Secret, really", "403"), (b"a secret", "200"),
                           (b"virus " + EICAR, "200")):
            status, _, got = self.get(f"/raw/length/7/{body.hex()}")
            verify(status == want and (want != "200" or got == body), f"{body!r}: {status} {got!r}")

    @func_test
    def header_response(self) -> None:
        """Fields of responses added, removed, set.

        Steps:
            Fetch a page through header.
        Verify:
            The added field is there, the removed one is not, the set one has the new value; body and framing are intact.
        """
        self.use(adapt_rule("header"), names=("header",))
        for path in ("/page/200/text.html", "/page/404/text.plain", "/o/chunked/5/30000/0"):
            _, plain, body = self.get(path, "-H", "X-Direct: yes")
            with self.delta() as d:
                status, head, got = self.get(path)
            fields = [line.lower() for line in head.splitlines()]
            verify("x-opes: seen" in fields and "x-page: changed" in fields, head)
            verify(not any(f.startswith("x-remove:") for f in fields) and fields.count("x-page: changed") == 1, head)
            verify(got == body and len(got) > 10, f"{path}: the body changed")
            verify(d["msg_adapted"] == 1 and d["txn_failed"] == 0, f"{d}")

    @func_test
    def header_request(self) -> None:
        """Fields of requests.

        Steps:
            Send requests with and without a body through header; the server tells the head that it got.
        Verify:
            As header_response; the request line and all other fields are as sent.
        """
        self.use(adapt_rule("header", kind="request"), names=("header",))
        status, _, got = self.get("/head", "-H", "X-Remove: me", "-H", "X-Keep: this")
        lines = got.decode().split("\r\n")
        verify(status == "200" and lines[0] == "GET /head HTTP/1.1", f"{status} {lines}")
        verify("X-Keep: this" in lines and "X-Opes: seen" in lines and "X-Page: changed" in lines, f"{lines}")
        verify(not any(x.lower().startswith("x-remove") for x in lines), f"{lines}")
        status, _, got = self.get("/post", "--data-binary", "12345")
        verify(status == "200" and got.startswith(b"5 "), f"{status} {got!r}")

    @func_test
    def log_observes(self) -> None:
        """The action observe.

        Steps:
            Fetch a page and 1 MiB with request and response observed by log.
        Verify:
            Nothing changes; the service printed a line for each message with its octets; nothing was adapted.
        """
        rule = f"{{name: watch, match: {{protocol: http, server-port: {HTTP_PORT}}}, action: observe, service: log}}"
        self.use(rule, names=("log",))
        self.lab.wait_service("log")
        with self.delta() as d:
            page = self.get("/page/200/text.html/observed")
            big = self.get("/o/length/8/1048576/0")
        verify(page[0] == "200" and big[2] == content(8, 1 << 20), f"{page[0]} {big[0]}")
        verify(d["msg_observed"] == 4 and d["msg_adapted"] == 0 and d["txn_done"] == 4, f"{d}")
        self.callout.wait_line("GET /page/200/text.html/observed HTTP/1.1", 5)
        self.callout.wait_line("HTTP/1.1 200 Page", 5)
        lines = [x for x in self.callout.output().splitlines() if "HTTP/1.1 200 OK" in x and "response" in x]
        verify(any(int(x.split()[-1]) >= 1 << 20 for x in lines if x.split()[-1].isdigit()), f"{lines}")

    @func_test
    def log_in_the_way(self) -> None:
        """The service log with the action adapt.

        Steps:
            Fetch 1 MiB with the response adapted by log.
        Verify:
            It arrives unchanged: a service that only logs passes everything on.
        """
        self.use(adapt_rule("log"), names=("log",))
        with self.delta() as d:
            status, _, got = self.get("/o/chunked/9/1048576/0")
        verify(status == "200" and got == content(9, 1 << 20), f"{status} {same(got, content(9, 1 << 20))}")
        verify(d["msg_adapted"] == 1 and d["fail_open"] == 0, f"{d}")

    # --- rules -----------------------------------------------------------------------------------

    @func_test
    def rule_blocks(self) -> None:
        """The action block.

        Steps:
            Block requests by path, responses by content type (with a status of its own), an opaque TCP port.
        Verify:
            403 without the server seeing the request; 451; a reset; an event each; other traffic passes.
        """
        self.use(f"{{name: no-echo, match: {{protocol: tcp, server-port: {ECHO_PORT}}}, action: block}}",
                 "{name: no-path, match: {protocol: http, kind: request, path: {prefix: /no/}}, action: block}",
                 "{name: no-zip, match: {protocol: http, kind: response, content-type: application/zip}, action: block, "
                 "answer: 451}", names=())
        last = self.lab.last_event()
        status, head, body = self.get("/no/way")
        verify(status == "403" and b"<html" in body.lower(), f"{status} {body!r}")
        verify(not self.reached("/no/way"), "the server saw the request")
        status, _, body = self.get("/page/200/application.zip")
        verify(status == "451" and b"page /page" not in body, f"{status} {body!r}")
        verify(self.get("/page/200/text.plain")[0] == "200", "another page is blocked")
        out = self.in_cli("client", "raw", SRV4, str(ECHO_PORT), b"hello".hex())
        verify(out.split()[0] == "reset", f"the opaque connection: {out}")
        blocked = {e["rule"] for e in self.lab.events("message-blocked", last)}
        verify(blocked == {"no-path", "no-zip", "no-echo"}, f"events: {blocked}")

    @func_test
    def rules_select(self) -> None:
        """Every kind of condition, each rule answering with a status of its own.

        Steps:
            Rules on method, host, path (exact, prefix, suffix, regex), fields, content type, status, client, several at
            once, negation, and a bypass before a block; requests that meet them and requests that just do not.
        Verify:
            Each request gets the status of its rule, or the server's.
        """
        def rule(n: int, match: str, kind: str = "request") -> str:
            return f"{{name: r{n}, match: {{protocol: http, kind: {kind}, {match}}}, action: block, answer: {n}}}"

        self.use("{name: free, match: {protocol: http, path: {prefix: /exact/free}}, action: bypass}",
                 rule(430, "client: 10.99.0.0/16"),
                 rule(431, "method: [DELETE, {prefix: PRO}]"),
                 rule(432, "host: {suffix: .blocked.example}"),
                 rule(433, "host: [one.example, two.example]"),
                 rule(434, "path: /exact"),
                 rule(435, "path: {prefix: /exact/}"),
                 rule(436, "path: {suffix: .mp3}"),
                 rule(437, 'path: {regex: "[.](exe|msi)([?]|$)"}'),
                 rule(438, "headers: [{name: x-kind, value: bad}]"),
                 rule(439, "headers: [{name: X-Present}, {name: X-Also}]"),
                 rule(440, 'headers: [{name: User-Agent, value: {regex: "^curl/0[.]"}}]'),
                 rule(441, "method: PUT, path: {prefix: /combo/}, host: {not: {suffix: good.example}}"),
                 rule(450, "content-type: text/html", "response"),
                 rule(451, "content-type: {prefix: image/}", "response"),
                 rule(452, "status: [500-502, 418]", "response"),
                 rule(453, "path: {prefix: /page/207}, content-type: {not: text/plain}", "response"), names=())
        for want, path, *curl in (
                ("404", "/nothing"), ("431", "/x", "-X", "DELETE"), ("431", "/x", "-X", "PROPFIND"),
                ("404", "/x", "-X", "delete"), ("432", "/x", "-H", "Host: a.blocked.example"),
                ("432", "/x", "-H", "Host: A.BLOCKED.example:8000"), ("404", "/x", "-H", "Host: blocked.example"),
                ("433", "/x", "-H", "Host: two.example"), ("404", "/x", "-H", "Host: three.example"),
                ("434", "/exact"), ("404", "/Exact"), ("404", "/exactly"), ("435", "/exact/ly"), ("404", "/exact/free"),
                ("436", "/a.mp3"), ("404", "/a.mp3x"), ("437", "/a/b.exe"), ("437", "/b.msi?x=1"), ("404", "/b.exec"),
                ("438", "/x", "-H", "X-Kind: bad"), ("404", "/x", "-H", "X-Kind: Bad"),
                ("439", "/x", "-H", "X-Present: 1", "-H", "X-Also: 2"), ("404", "/x", "-H", "X-Present: 1"),
                ("440", "/x", "-A", "curl/0.1"), ("404", "/x", "-A", "Mozilla"),
                ("441", "/combo/x", "-X", "PUT", "-H", "Host: bad.example"),
                ("200", "/combo/x", "-X", "PUT", "-H", "Host: very.good.example"), ("404", "/combo/x"),
                ("450", "/page/200/text.html"), ("450", "/page/404/text.html;charset=utf-8"), ("200", "/page/200/text.xml"),
                ("451", "/page/200/image.png"), ("452", "/page/501/text.plain"), ("452", "/page/418/text.plain"),
                ("503", "/page/503/text.plain"), ("453", "/page/207/text.x"), ("207", "/page/207/text.plain")):
            got = self.get(path, *curl)[0]
            verify(got == want, f"{path} {' '.join(curl)}: {got} instead of {want}")

    @func_test
    def directions(self) -> None:
        """direction and server conditions.

        Steps:
            Rules for outside-in, inside-out and another server; fetch from inside.
        Verify:
            Only the rule for inside-out takes the message.
        """
        def block(match: str) -> str:
            return f"{{name: r, match: {{protocol: http, kind: request, {match}}}, action: block}}"

        for match, want in (("direction: outside-in", "404"), ("direction: inside-out", "403"), ("direction: any", "403"),
                            ("server: 10.77.0.3", "404"), ("server: [10.99.0.0/16, 10.77.0.0/24]", "403"),
                            ("client: fd77::/64", "404"), ("client: 10.77.0.1", "403")):
            self.use(block(match), names=())
            got = self.get("/nothing")[0]
            verify(got == want, f"{match}: {got} instead of {want}")

    # --- framing ---------------------------------------------------------------------------------

    @func_test
    def smuggling_requests(self) -> None:
        """Requests of ambiguous length are refused, never guessed.

        Steps:
            Send each ambiguous request with another one behind it, adapted and with a rule that only looks.
        Verify:
            400 or a reset; an event message-refused; neither request ever reaches the server.
        """
        rules = {"adapted": adapt_rule("as-is", kind=BOTH),
                 "looked at": "{name: look, match: {protocol: http, path: /never}, action: block}"}
        for how, rule in rules.items():
            self.use(rule, names=("as-is",))
            for what, octets in AMBIGUOUS_REQUESTS.items():
                last = self.lab.last_event()
                end, *got = self.in_cli("client", "raw", SRV4, str(HTTP_PORT), (octets + NEXT).hex()).split()
                answer = bytes.fromhex("".join(got))
                verify(end in ("end", "reset"), f"{what}, {how}: the connection stays open; got {answer!r}")
                verify(answer == b"" or answer.startswith(b"HTTP/1.1 400 "), f"{what}, {how}: {answer!r}")
                verify(answer.count(b"HTTP/1.1") <= 1, f"{what}, {how}: {answer!r}")
                event = self.lab.wait_event("message-refused", last, 3)
                verify(event["cause"] == "framing", f"{event}")
                verify(not self.reached("/ambiguous") and not self.reached("/smuggled"), f"{what}, {how}: it got through")

    @func_test
    def smuggling_responses(self) -> None:
        """Responses of ambiguous length.

        Steps:
            Fetch each; then one with a second response behind it that nobody asked for.
        Verify:
            The client gets an error and not a word of the body; the unasked response never arrives.
        """
        self.use(adapt_rule("as-is"))
        for what, octets in AMBIGUOUS_RESPONSES.items():
            last = self.lab.last_event()
            status, _, body = self.get(f"/verbatim/{octets.hex()}")
            verify(status.startswith("exit ") or status == "502", f"{what}: curl says {status}")
            verify(b"poison" not in body, f"{what}: {body!r}")
            self.lab.wait_event("message-refused", last, 3)
        two = OKAY + b"Content-Length: 2\r\n\r\nok" + OKAY + b"Content-Length: 6\r\n\r\npoison"
        last = self.lab.last_event()
        request = f"GET /verbatim/{two.hex()} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        end, *got = self.in_cli("client", "raw", SRV4, str(HTTP_PORT), request.hex()).split()
        answer = bytes.fromhex("".join(got))
        verify(b"poison" not in answer, f"the second response: {answer!r}")
        self.lab.wait_event("message-refused", last, 3)

    @func_test
    def not_http(self) -> None:
        """Something else on the HTTP port.

        Steps:
            Speak the byte echo of port 7000 under an HTTP rule, with on-failure framing open and closed.
        Verify:
            open: a tunnel, every octet comes back, with an event; closed: refused.
        """
        for policy, want in (("open", "silence"), ("closed", "end reset")):
            rule = adapt_rule("as-is", port=ECHO_PORT, on_failure=f"{{default: open, framing: {policy}}}")
            self.use(rule)
            last = self.lab.last_event()
            end, *got = self.in_cli("client", "raw", SRV4, str(ECHO_PORT), b"\x16\x03\x01hello\r\n\r\nthere".hex()).split()
            answer = bytes.fromhex("".join(got))
            verify(end in want.split(), f"{policy}: {end} {answer!r}")
            verify((answer == b"\x16\x03\x01hello\r\n\r\nthere") == (policy == "open"), f"{policy}: {answer!r}")
            self.lab.wait_event("not-http" if policy == "open" else "message-refused", last, 3)
