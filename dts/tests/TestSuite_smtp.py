# SPDX-License-Identifier: BSD-3-Clause
"""Mail through the appliance: Postfix and an odd server, swaks and a client that says whatever it is told to."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from typing import Any

from opes_api.appliance import ApplianceSuite, same
from opes_api.lab import SRV4, LabError, Process, wait_for
from opes_api.objects import EICAR
from opes_api.smtp import MARK, Postfix, message, stuffed
from opes_api.suite import func_test, verify

PORT, ODD_PORT, SILENT_PORT = 25, 2525, 2526
SERVICES = ("as-is", "echo", "log", "replace,replace=Bluebird=(withheld)", "block", "header,add=X-Opes: seen",
            "block:urn:opes:service:large,hold=0,pattern=Forbidden")
ENVELOPE = [["reply"], ["send", "EHLO cli.example\r\n"], ["reply"],
            ["send", "MAIL FROM:<a@cli.example> BODY=8BITMIME\r\n"], ["reply"], ["send", "RCPT TO:<b@lab.example>\r\n"], ["reply"],
            ["send", "DATA\r\n"], ["reply"]]
ACCEPTED = ["220", "250", "250", "250", "354"]


def rule(service: str, policy: str = "open", match: str = "", more: str = "") -> str:
    return (f"{{name: mail-{service}, match: {{protocol: smtp, server-port: [{PORT}, {ODD_PORT}, {SILENT_PORT}]{match}}}, action: adapt, "
            f"service: {service}, on-failure: {policy}{more}}}")


def codes(replies: list[str]) -> list[str]:
    return [r[:3] if r[:1].isdigit() else r for r in replies]


class TestSmtp(ApplianceSuite):
    """SMTP framing, end to end."""

    callout_args = SERVICES

    def start_origin(self) -> Process:
        self.postfix = Postfix(self.lab, self.lab.srv, SRV4, PORT)
        self.odd = self.lab.srv.start("odd", *self.lab.srv.module("smtp", "server", SRV4, str(ODD_PORT)))
        self.odd.wait_line("server: ready")
        return self.postfix.process

    def set_up_test_case(self) -> None:
        self.postfix.forget()
        self.before = len(self.odd.output())
        if not self.callout.alive():
            self.callout = self.lab.start_callout(*SERVICES)

    def rules(self, *rules: str, more: str = "") -> None:
        self.use(*rules, names=("as-is", "echo", "log", "replace", "block", "header", "large"), more=more)

    def talk(self, steps: list[list[Any]], port: int = PORT, timeout: float = 120) -> list[str]:
        """What the client has read; see opes_api.smtp.talk()."""
        argv = self.lab.cli.module("smtp", "talk", SRV4, str(port))
        return json.loads(self.lab.cli.run(*argv, input=json.dumps(steps), timeout=timeout).stdout)

    def begin_talk(self, steps: list[list[Any]], port: int = PORT) -> Process:
        """The same in the background; its output is the JSON."""
        path = self.lab.dir / "steps"
        path.write_text(json.dumps(steps))
        argv = self.lab.cli.module("smtp", "talk", SRV4, str(port))
        return self.lab.cli.start("talk", "sh", "-c", f"{' '.join(argv)} < {path}")

    def file(self, mail: bytes) -> list[Any]:
        path = self.lab.dir / f"mail-{hashlib.sha256(mail).hexdigest()[:16]}"
        path.write_bytes(stuffed(mail))
        return ["file", str(path)]

    def swaks(self, *argv: str, mail: bytes | None = None) -> tuple[int, str]:
        data = []
        if mail is not None:
            path = self.lab.dir / "swaks.eml"
            path.write_bytes(stuffed(mail)[:-2])
            data = ["--no-data-fixup", "--suppress-data", "--data", f"@{path}"]
        p = self.lab.cli.run("swaks", "--server", f"{SRV4}:{PORT}", "--from", "a@cli.example", "--to", "b@lab.example",
                             "--timeout", "30", *data, *argv, check=False, encoding="latin-1")
        return p.returncode, (p.stdout + p.stderr)[-3000:]

    def taken(self, *mails: bytes) -> None:
        """Postfix has delivered exactly these."""
        got = self.postfix.mails(len(mails))
        verify(len(got) == len(mails), f"{len(got)} mails instead of {len(mails)}")
        for mail in mails:
            digest = hashlib.sha256(mail).hexdigest()
            verify(digest in [hashlib.sha256(g).hexdigest() for g in got], f"not delivered as sent: {same(got[0], mail)}")

    def nothing_taken(self) -> None:
        time.sleep(0.3)
        verify(not self.postfix.mails(0), "something was delivered")

    def odd_lines(self, word: str) -> list[str]:
        return [x for x in self.odd.output()[self.before:].splitlines() if x.startswith(word)]

    # --- delivery --------------------------------------------------------------------------------------------

    @func_test
    def delivered(self) -> None:
        """Every service, and none, between client and server.

        Steps:
            Mails of 100 octets to 200 KB, their lines full of dots, through as-is, echo, log, replace, block, an observing log,
            a bypass and without a rule.
        Verify:
            Postfix delivers each with the same SHA-256; the counters say that the service had it.
        """
        watch = f"{{name: watch, match: {{protocol: smtp, server-port: {PORT}}}, action: observe, service: log}}"
        past = f"{{name: past, match: {{protocol: smtp, server-port: {PORT}, sender: a@cli.example}}, action: bypass}}"
        mails = [message(n, size) for n, size in enumerate((100, 3000, 20000, 200000))]
        for how, rules, counter in (("as-is", [rule("as-is")], "msg_adapted"), ("echo", [rule("echo")], "msg_adapted"),
                                    ("log", [rule("log")], "msg_adapted"), ("replace", [rule("replace")], "msg_adapted"),
                                    ("block", [rule("block")], "msg_adapted"), ("observed", [watch], "msg_observed"),
                                    ("bypass", [past, rule("echo")], "msg_forwarded"), ("no rule", [], None)):
            self.rules(*rules)
            self.postfix.forget()
            with self.delta() as d:
                for mail in mails:
                    got = self.talk(ENVELOPE + [self.file(mail), ["reply"], ["send", "QUIT\r\n"], ["reply"], ["reply"]])
                    verify(codes(got) == ACCEPTED + ["250", "221", "end"], f"{how}: {got}")
            self.taken(*mails)
            if counter:
                verify(d[counter] == len(mails) and d["txn_failed"] == 0 and d["smtp_mail"] == len(mails), f"{how}: {d}")
            if counter == "msg_adapted":
                verify(d["smtp_delivered"] == len(mails), f"{how}: {d}")

    @func_test
    def dots(self) -> None:
        """Dots, CRs and LFs at every place, and segments cut anywhere.

        Steps:
            Mails of short lines made of dots and line ends, sent in pieces of 1 to 7 octets, through as-is and echo.
        Verify:
            Each is delivered as it was sent.
        """
        texts = [b".", b"..", b"...", b".\r\n.", b"\r\n.\r\n", b".a\r\n..b\r\n.", b"a\r\n\r\n.\r\n\r\n", b".\r\n" * 40, b"x" * 900 + b"\r\n.."]
        for service in ("as-is", "echo"):
            self.rules(rule(service))
            self.postfix.forget()
            mails = [MARK + b"Subject: x\r\n\r\n" + t + (b"" if t.endswith(b"\r\n") else b"\r\n") for t in texts]
            for n, mail in enumerate(mails):
                got = self.talk(ENVELOPE + [["slowly", stuffed(mail).decode(), 1 + n % 7], ["reply"]])
                verify(codes(got) == ACCEPTED + ["250"], f"{service}, {mail!r}: {got}")
            self.taken(*mails)

    @func_test
    def core_dialect(self) -> None:
        """The same in the dialect of RFC 4037, which has no meta-data: a service sees a mail as octets.

        Steps:
            Mails through as-is, echo and replace; one that block stops, with on-failure refused: answer.
        Verify:
            Delivered as sent, or with the word replaced; 554 for the last one, nothing of it is delivered.
        """
        mail = message(41, 60000)
        for service in ("as-is", "echo", "replace"):
            self.rules(rule(service), more=", dialect: core")
            self.postfix.forget()
            with self.delta() as d:
                got = self.talk(ENVELOPE + [self.file(mail), ["reply"], ["send", "QUIT\r\n"], ["reply"]])
            verify(codes(got) == ACCEPTED + ["250", "221"] and d["smtp_delivered"] == 1 and d["txn_failed"] == 0, f"{service}: {got} {d}")
            self.taken(mail)
        self.postfix.forget()
        self.rules(rule("block", "{default: open, refused: answer}"), more=", dialect: core")
        got = self.talk(ENVELOPE + [self.file(mail + EICAR + b"\r\n" + mail), ["reply"]])
        verify(codes(got) == ACCEPTED + ["554"], f"{got}")
        self.nothing_taken()

    @func_test
    def traced(self) -> None:
        """Trace fields (RFC 3897) in mail.

        Steps:
            With a system URI and via: always, a mail through as-is and one that block refuses.
        Verify:
            OPES-System and OPES-Via in front of the mail's own fields, the rest as sent; the refusal has a line with the URI.
        """
        self.lab.set_rules("[" + rule("as-is", match=", sender: a@cli.example") + ", " + rule("block") + "]\nopes: {system-uri: "
                           "\"http://opes.example/lab\", via: always}",
                           '[{name: as-is, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:as-is"}, '
                           '{name: block, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:block"}]')
        self.lab.wait_rules()
        self.lab.wait_service("as-is")
        self.lab.wait_service("block")
        mail = message(42, 5000)
        got = self.talk(ENVELOPE + [self.file(mail), ["reply"]])
        verify(codes(got) == ACCEPTED + ["250"], f"{got}")
        self.taken(mail)
        head = self.postfix.heads()[0]
        verify('OPES-System: http://opes.example/lab' in head and "OPES-Via: " in head and "urn:opes:service:as-is" in head, head)
        steps = [s if s[0] != "send" else ["send", s[1].replace("a@cli", "other@cli")] for s in ENVELOPE]
        got = self.talk(steps + [self.file(mail + EICAR + b"\r\n"), ["reply"]])
        verify(got[-1].startswith("550-") and got[-1].endswith("550 5.7.1 OPES-System: http://opes.example/lab\r\n"), f"{got}")

    @func_test
    def large(self) -> None:
        """10 MiB.

        Steps:
            A mail of 10 MiB without a rule, through as-is, echo and a server that reads slowly.
        Verify:
            SHA-256 is equal; what is held in the appliance never exceeds what may be preserved.
        """
        mail = message(77, 10 << 20)
        for service in ("", "as-is", "echo"):
            self.rules(*([rule(service)] if service else []))
            self.postfix.forget()
            began = time.monotonic()
            got = self.talk(ENVELOPE + [self.file(mail), ["reply"]])
            verify(codes(got) == ACCEPTED + ["250"], f"{service}: {got}")
            self.taken(mail)
            print(f"    {service or 'no rule'}: {len(mail) / (time.monotonic() - began) / 1e6:.0f} MB/s with its delivery")
        mail = message(78, 1 << 20)
        steps = [s if s[0] != "send" else ["send", s[1].replace("b@lab", "slow@lab")] for s in ENVELOPE]
        got = self.talk(steps + [self.file(mail), ["reply"]], ODD_PORT)
        verify(codes(got) == ACCEPTED + ["250"], f"slow: {got}")
        verify(self.odd_lines("mail") == [f"mail whole {len(mail)} {hashlib.sha256(mail).hexdigest()}"], f"{self.odd_lines('mail')}")

    @func_test
    def changed(self) -> None:
        """Fields inserted, text replaced.

        Steps:
            With swaks a mail through header, one through replace.
        Verify:
            The field is there once, behind the others, and the body is the same; the text is replaced.
        """
        mail = message(5, 20000)
        self.rules(rule("header"))
        code, out = self.swaks(mail=mail)
        verify(code == 0, out)
        self.taken(mail.replace(b"\r\n\r\n", b"\r\nX-Opes: seen\r\n\r\n", 1))
        self.postfix.forget()
        self.rules(rule("replace"))
        mail = MARK + b"Subject: x\r\n\r\n.Bluebird\r\nBlue\r\n.bird\r\n..Bluebird\r\n"
        code, out = self.swaks(mail=mail)
        verify(code == 0, out)
        self.taken(mail.replace(b"Bluebird", b"(withheld)"))

    @func_test
    def swaks_pipelining(self) -> None:
        """Real clients: pipelined commands, several recipients, one of them refused.

        Steps:
            swaks --pipeline with two good recipients and one that the server refuses; 8BITMIME and SMTPUTF8 parameters.
        Verify:
            Two copies are delivered; the refusal reaches the client; the service's meta-data has the good ones.
        """
        self.rules(rule("log"))
        mail = message(6, 5000)
        code, out = self.swaks("--pipeline", "--to", "b@lab.example,no@lab.example,c@lab.example", mail=mail)
        verify(code == 0 and "550 5.1.1" in out, out)
        self.taken(mail, mail)
        self.callout.wait_line("MAIL FROM:<a@cli.example> RCPT TO:<b@lab.example>", 5)
        self.postfix.forget()
        steps = [s if s[0] != "send" else ["send", s[1].replace("a@cli.example> BODY=8BITMIME", "ä@cli.example> BODY=8BITMIME SMTPUTF8"
                                                                .encode().decode("latin-1"))] for s in ENVELOPE]
        got = self.talk(steps + [self.file(mail), ["reply"]])
        verify(codes(got) == ACCEPTED + ["250"], f"{got}")
        self.taken(mail)

    @func_test
    def several(self) -> None:
        """Ten mails on a connection, each one's commands sent right behind the end of the one before; every third refused.

        Steps:
            Through block; every third mail carries EICAR.
        Verify:
            250 and 550 in their places; exactly the harmless ones are delivered.
        """
        self.rules(rule("block"))
        mails = [message(n, 4000) + (EICAR + b"\r\n" if n % 3 == 2 else b"") for n in range(10)]
        steps: list[list[Any]] = ENVELOPE[:3]
        want = ["220", "250"]
        for n, mail in enumerate(mails):
            path = self.lab.dir / f"one-{n}"
            follow = b"MAIL FROM:<a@cli.example>\r\nRCPT TO:<b@lab.example>\r\nDATA\r\n" if n < 9 else b"QUIT\r\n"
            path.write_bytes(stuffed(mail) + follow)
            if n == 0:
                steps = steps + [["send", "MAIL FROM:<a@cli.example>\r\nRCPT TO:<b@lab.example>\r\nDATA\r\n"]] + [["reply"]] * 3
                want += ["250", "250", "354"]
            steps = steps + [["file", str(path)]] + [["reply"]] * (4 if n < 9 else 2)
            want += ["550" if n % 3 == 2 else "250"] + (["250", "250", "354"] if n < 9 else ["221"])
        with self.delta() as d:
            got = self.talk(steps)
        verify(codes(got) == want, f"{got}")
        self.taken(*[m for n, m in enumerate(mails) if n % 3 != 2])
        verify(d["smtp_delivered"] == 7 and d["smtp_rejected"] == 3, f"{d}")

    # --- refusals --------------------------------------------------------------------------------------------

    @func_test
    def blocked(self) -> None:
        """A service that refuses.

        Steps:
            EICAR with swaks through block; a mail larger than what a service holds, refused after its beginning has gone on.
        Verify:
            550 with the service's words, an event; Postfix has no mail. 554 for the late one, and the server never sees its end.
        """
        self.rules(rule("block"))
        last = self.lab.last_event()
        with self.delta() as d:
            code, out = self.swaks(mail=message(1, 2000) + EICAR + b"\r\n")
        verify(code != 0 and "550 5.7.1 The mail carries content that is not allowed here" in out, out)
        verify("550" in self.lab.wait_event("mail-rejected", last)["text"] and d["smtp_rejected"] == 1, f"{d}")
        self.rules(rule("large"))
        got = self.talk(ENVELOPE + [self.file(message(2, 300000) + b"Forbidden\r\n" + message(3, 1000)), ["reply"], ["reply"]])
        verify(codes(got) == ACCEPTED + ["554", "end"], f"{got}")
        self.nothing_taken()

    @func_test
    def envelope_rules(self) -> None:
        """Conditions on sender and recipient, and the action block.

        Steps:
            Rules that block a sender, a recipient's domain (with an answer of its own) and the null sender.
        Verify:
            Their mails get 550 or that answer after DATA, others are delivered; the connection goes on.
        """
        def block(name: str, match: str, more: str = "") -> str:
            return f"{{name: {name}, match: {{protocol: smtp, server-port: {PORT}, {match}}}, action: block{more}}}"

        self.rules(block("spy", "sender: SPY@cli.example"), block("domain", 'recipient: {suffix: "@sub.lab.example"}', ", answer: 450"),
                   block("null", 'sender: "<>"'), rule("as-is"))
        mail = message(9, 1000)
        steps: list[list[Any]] = ENVELOPE[:3]
        want = ["220", "250"]
        for sender, to, answer in (("spy@CLI.example", ["b@lab.example"], "550"), ("", ["b@lab.example"], "550"),
                                   ("spy2@cli.example", ["b@lab.example"], None)):
            steps = steps + [["send", f"MAIL FROM:<{sender}>\r\n"], ["reply"]]
            for t in to:
                steps = steps + [["send", f"RCPT TO:<{t}>\r\n"], ["reply"]]
            steps = steps + [["send", "DATA\r\n"], ["reply"]] + ([] if answer else [self.file(mail), ["reply"]])
            want += ["250"] * (1 + len(to)) + ([answer] if answer else ["354", "250"])
        last = self.lab.last_event()
        got = self.talk(steps)
        verify(codes(got) == want, f"{got}")
        self.taken(mail)
        verify([e["rule"] for e in self.lab.events("message-blocked", last)] == ["null", "spy"][::-1], f"{self.lab.events('message-blocked', last)}")

    @func_test
    def size_limits(self) -> None:
        """The server's limits are the server's.

        Steps:
            MAIL with a SIZE beyond message_size_limit; to the odd server a mail that it refuses after its end, and DATA that it
            refuses.
        Verify:
            Its replies reach the client: to MAIL, and to the end of the data; the connection goes on.
        """
        self.rules(rule("as-is"))
        got = self.talk(ENVELOPE[:3] + [["send", "MAIL FROM:<a@cli.example> SIZE=99999999\r\n"], ["reply"]])
        verify(codes(got) == ["220", "250", "552"], f"{got}")
        for how, text in (("refused", "552 5.3.4 too much\r\n"), ("data-refused", "554 5.7.0 no data today\r\n")):
            steps = [s if s[0] != "send" else ["send", s[1].replace("b@lab", f"{how}@lab")] for s in ENVELOPE]
            got = self.talk(steps + [self.file(message(3, 50000)), ["reply"], ["send", "NOOP\r\n"], ["reply"]], ODD_PORT)
            verify(codes(got[:5]) == ACCEPTED and got[5] == text and codes(got[6:]) == ["250"], f"{how}: {got}")
        verify("command RSET" in self.odd_lines("command"), "the refused transaction was not taken back")

    @func_test
    def smuggling(self) -> None:
        """Only CRLF.CRLF ends a message.

        Steps:
            Mails with a line of one dot between line ends that are not both CRLF, and commands behind it, through as-is and
            without a service; commands with a bare LF or CR in them.
        Verify:
            One mail arrives at a strict server, with those commands as its text; an event tells; with odd-ends: refuse the client gets 550
            and the server nothing; commands with a CR are refused, those that end with LF reach the server with CRLF.
        """
        self.rules(rule("as-is"))
        for odd in ("\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r.\r\n"):
            last = self.lab.last_event()
            mark = len(self.odd.output())
            got = self.talk(ENVELOPE + [["send", f"one{odd}MAIL FROM:<evil@cli.example>\r\nRCPT TO:<x@lab.example>\r\nDATA\r\n\r\ntwo\r\n.\r\n"],
                                        ["reply"], ["send", "QUIT\r\n"], ["reply"], ["reply"]], ODD_PORT)
            lines = self.odd.output()[mark:].splitlines()
            verify(codes(got) == ACCEPTED + ["250", "221", "end"], f"{odd!r}: {got}")
            verify(sum(x.startswith("mail ") for x in lines) == 1, f"{odd!r}: {lines}")
            verify(not any("evil" in x for x in lines if x.startswith("command")), f"{odd!r}: {lines}")
            if odd not in ("\r.\r", "\r.\r\n"):
                self.lab.wait_event("smtp-odd-end", last)
        self.rules(rule("as-is", more=", odd-ends: refuse"))
        mark = len(self.odd.output())
        got = self.talk(ENVELOPE + [["send", "one\n.\r\nMAIL FROM:<evil@cli.example>\r\n.\r\n"], ["reply"]], ODD_PORT)
        verify(codes(got) == ACCEPTED + ["550"] and "evil" not in self.odd.output()[mark:], f"{got}")
        got = self.talk(ENVELOPE[:3] + [["send", "NOOP\rDATA\r\n"], ["reply"], ["send", "NOOP\n"], ["reply"]], ODD_PORT)
        verify(codes(got[2:]) == ["500", "250"], f"{got}")

    # --- extensions ------------------------------------------------------------------------------------------

    @func_test
    def extensions(self) -> None:
        """What cannot be framed is not offered.

        Steps:
            EHLO; then BDAT with its octets all the same.
        Verify:
            Neither CHUNKING nor BINARYMIME in the reply, whichever line they were in, all others are; 502, its octets are no commands.
        """
        self.rules(rule("as-is"))
        for port in (PORT, ODD_PORT):
            got = self.talk(ENVELOPE[:3] + [["send", "BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n"], ["reply"], ["send", "NOOP\r\n"], ["reply"]], port)
            verify("CHUNKING" not in got[1] and "BINARYMIME" not in got[1] and "8BITMIME" in got[1], got[1])
            verify(got[1].splitlines()[-1].startswith("250 "), got[1])
            verify(codes(got[2:]) == ["502", "250"], f"{got}")

    @func_test
    def starttls(self) -> None:
        """STARTTLS, passed and stripped.

        Steps:
            swaks --tls with starttls: pass; then with strip; then swaks without TLS with strip.
        Verify:
            pass: the mail arrives, encrypted, with an event and a counter, no service sees it. strip: not offered, refused when asked
            for all the same; without TLS the mail arrives through the service.
        """
        mail = message(11, 20000)
        self.rules(rule("as-is"))
        last = self.lab.last_event()
        with self.delta() as d:
            code, out = self.swaks("--tls", mail=mail)
        verify(code == 0 and "TLS started" in out, out)
        self.taken(mail)
        self.lab.wait_event("smtp-tls", last)
        verify(d["smtp_tls"] == 1 and d["msg_adapted"] == 0, f"{d}")
        self.postfix.forget()
        self.rules(rule("as-is", more=", starttls: strip"))
        code, out = self.swaks("--tls", mail=mail)
        verify(code != 0 and "STARTTLS" not in out.replace("not advertise STARTTLS", ""), out)
        got = self.talk(ENVELOPE[:3] + [["send", "STARTTLS\r\n"], ["reply"]])
        verify(codes(got[2:]) == ["502"] and "STARTTLS" not in got[1], f"{got}")
        with self.delta() as d:
            code, out = self.swaks(mail=mail)
        verify(code == 0 and d["msg_adapted"] == 1, f"{d} {out}")
        self.taken(mail)

    @func_test
    def xclient(self) -> None:
        """Commands the appliance does not know pass.

        Steps:
            XCLIENT, after which the server begins anew; VRFY, HELP, ETRN.
        Verify:
            The server's replies; the mail after it is delivered, and the server has believed XCLIENT.
        """
        self.rules(rule("as-is"))
        mail = message(12, 1000)
        got = self.talk(ENVELOPE[:3] + [["send", "XCLIENT NAME=far.example ADDR=192.0.2.77\r\n"]] + ENVELOPE + [self.file(mail), ["reply"]])
        verify(codes(got) == ["220", "250"] + ACCEPTED + ["250"], f"{got}")
        got = self.talk(ENVELOPE[:3] + [["send", "VRFY b@lab.example\r\nHELP\r\nETRN x\r\n"], ["reply"], ["reply"], ["reply"]])
        verify(all(c[0] in "245" for c in codes(got)[2:]) and len(got) == 5, f"{got}")
        self.taken(mail)
        verify("192.0.2.77" in self.postfix.heads()[0], self.postfix.heads()[0])

    # --- failures --------------------------------------------------------------------------------------------

    def killed(self, policy: str, service: str = "as-is", before_data: bool = False) -> list[str]:
        """A mail during which the callout server dies; what the client was told."""
        self.rules(rule(service, policy))
        octets = stuffed(self.mail)
        half = self.lab.dir / "half"
        half.write_bytes(octets[:len(octets) // 2])
        rest = self.lab.dir / "rest"
        rest.write_bytes(octets[len(octets) // 2:])
        gate = self.lab.dir / "gate"
        gate.unlink(missing_ok=True)
        os.mkfifo(gate)
        steps = ENVELOPE + ([] if before_data else [["file", str(half)]]) + [["file", str(gate)]]
        steps += ([["file", str(half)]] if before_data else []) + [["file", str(rest)], ["reply"], ["send", "QUIT\r\n"], ["reply"]]
        start = self.lab.counters()["callout_octets_out"]
        talk = self.begin_talk(steps)
        if before_data:
            wait_for("the transaction has begun", lambda: self.lab.gauges()["txns"], 10)
        else:
            wait_for("half of it is with the service",
                     lambda: self.lab.counters()["callout_octets_out"] - start > len(octets) * 2 // 5, 30)
        os.kill(self.callout.pid, signal.SIGKILL)
        self.callout.popen.wait(10)
        self.lab.wait_service(service, "down")
        with open(gate, "wb"):
            pass
        talk.popen.wait(60)
        return json.loads(talk.output())

    @func_test
    def killed_open(self) -> None:
        """The callout server dies in the middle of a mail; policy open.

        Steps:
            5 MiB through as-is, killed after half; again, killed before the first octet.
        Verify:
            Delivered as sent, both times; fail_open is counted.
        """
        self.mail = message(20, 5 << 20)
        for before in (False, True):
            self.postfix.forget()
            self.set_up_test_case()
            with self.delta() as d:
                got = self.killed("open", before_data=before)
            verify(codes(got) == ACCEPTED + ["250", "221"], f"{before}: {got}")
            self.taken(self.mail)
            verify(d["fail_open"] == 1, f"{d}")

    @func_test
    def killed_changed(self) -> None:
        """It dies after octets of its own have gone to the server.

        Steps:
            5 MiB through echo, killed after half; policy open.
        Verify:
            421 after the end of the data, the connection ends; nothing is delivered, the server had a reset.
        """
        self.mail = message(21, 5 << 20)
        with self.delta() as d:
            got = self.killed("open", "echo")
        verify(codes(got)[:6] == ACCEPTED + ["421"], f"{got}")
        verify(d["smtp_aborted"] == 1 and d["fail_unrecoverable"] == 1, f"{d}")
        self.nothing_taken()

    @func_test
    def killed_closed(self) -> None:
        """It dies before anything went to the server; closed and answer.

        Steps:
            Killed before the first octet, with closed, with answer and its code.
        Verify:
            451; that code. Nothing is delivered; the connection goes on. Without a service at all: the same.
        """
        self.mail = message(22, 1 << 20)
        for policy, want in (("closed", "451"), ("answer, answer: 552", "552")):
            self.set_up_test_case()
            got = self.killed(policy, before_data=True)
            verify(codes(got) == ACCEPTED + [want, "221"], f"{policy}: {got}")
            got = self.talk(ENVELOPE + [self.file(self.mail), ["reply"], ["send", "QUIT\r\n"], ["reply"]])
            verify(want in codes(got), f"{policy}, still down: {got}")
            self.nothing_taken()

    @func_test
    def client_gives_up(self) -> None:
        """The client goes away in the middle of a mail.

        Steps:
            Half a mail, then a reset; half a mail, then a FIN; through as-is, echo and without a service, to Postfix and to the odd
            server.
        Verify:
            Nothing is delivered, no server sees the end of a message.
        """
        octets = stuffed(message(30, 300000))
        half = self.lab.dir / "half"
        half.write_bytes(octets[:200000])
        for service in ("as-is", "echo", ""):
            self.rules(*([rule(service)] if service else []))
            for how in ("fin", "reset"):
                for port in (PORT, ODD_PORT):
                    self.talk(ENVELOPE + [["file", str(half)], ["wait", 2], [how]] + ([["reply"]] if how == "fin" else []), port)
        self.nothing_taken()
        try:
            wait_for("the odd server has noted its mails", lambda: len(self.odd_lines("mail")) == 6, 10)
        except LabError as e:
            raise LabError(f"{e}: {self.odd_lines('')}") from e
        verify(all(x.startswith("mail cut") for x in self.odd_lines("mail")), f"{self.odd_lines('mail')}")

    @func_test
    def server_closes(self) -> None:
        """The server goes away.

        Steps:
            It says 421 and closes after RCPT; it closes in the middle of the message.
        Verify:
            The client is told 421 to the end of its data, or at once; the connection ends.
        """
        self.rules(rule("as-is"))
        steps = [s if s[0] != "send" else ["send", s[1].replace("b@lab", "close-after-rcpt@lab")] for s in ENVELOPE]
        got = self.talk(steps + [["reply"]], ODD_PORT)
        verify(codes(got)[:4] == ["220", "250", "250", "250"] and "421" in codes(got) and codes(got)[-1] in ("end", "reset"), f"{got}")
        steps = [s if s[0] != "send" else ["send", s[1].replace("b@lab", "close-in-data@lab")] for s in ENVELOPE]
        got = self.talk(steps + [self.file(message(31, 200000)), ["reply"], ["reply"]], ODD_PORT)
        verify(codes(got) in (ACCEPTED + ["421", "end"], ACCEPTED + ["reset"]), f"{got}")

    @func_test
    def other_protocols(self) -> None:
        """Something else on the port.

        Steps:
            A client that speaks first and not SMTP to a server that does not greet, with framing open and closed.
        Verify:
            open: its octets reach the server; closed: they do not, the client sees a reset.
        """
        silent = self.lab.srv.start("silent", *self.lab.srv.module("smtp", "server", SRV4, str(SILENT_PORT), "--silent"))
        silent.wait_line("server: ready")
        for policy in ("open", "closed"):
            self.rules(rule("as-is", f"{{default: open, framing: {policy}}}"))
            mark = len(silent.output())
            got = self.talk([["send", "GET / HTTP/1.1\r\n\r\n"], ["reply"]], SILENT_PORT)
            reached = "command GET" in silent.output()[mark:]
            verify(reached == (policy == "open") and codes(got) == (["250"] if reached else ["reset"]), f"{policy}: {reached} {got}")

    @func_test
    def many_at_once(self) -> None:
        """Fifty clients at a time.

        Steps:
            Fifty swaks in the background, through echo.
        Verify:
            Fifty mails, every SHA-256 right.
        """
        self.rules(rule("echo"))
        mails = [message(100 + n, 30000) for n in range(50)]
        running = [self.lab.cli.start(f"talk-{n}", "sh", "-c", self.background(n, mail)) for n, mail in enumerate(mails)]
        for p in running:
            p.popen.wait(60)
        try:
            self.taken(*mails)
        except LabError as e:
            raise LabError(f"{e}\n{[p.output() for p in running][:5]}") from e

    def background(self, n: int, mail: bytes) -> str:
        path = self.lab.dir / f"steps-{n}"
        path.write_text(json.dumps(ENVELOPE + [self.file(mail), ["reply"], ["send", "QUIT\r\n"], ["reply"]]))
        return f"{' '.join(self.lab.cli.module('smtp', 'talk', SRV4, str(PORT)))} < {path}"
