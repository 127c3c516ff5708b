# SPDX-License-Identifier: BSD-3-Clause
"""RTSP (RFC 2326) between GStreamer's server and clients: descriptions through services, RTP interleaved on the same connection."""

from __future__ import annotations

import json
import random
import subprocess

from opes_api.appliance import ApplianceSuite, same
from opes_api.lab import SRV4, Process, wait_for
from opes_api.suite import func_test, verify

PORT = 8554
URL = f"rtsp://{SRV4}:{PORT}/live"
SECONDS = 3
NAME = "Session streamed with GStreamer"


def rule(service: str, more: str = "kind: response, method: DESCRIBE", on_failure: str = "open", action: str = "adapt") -> str:
    return (f"{{name: {service}, match: {{protocol: rtsp, server-port: {PORT}, {more}}}, action: {action}, service: {service}"
            + (f", on-failure: {on_failure}}}" if action == "adapt" else "}"))


class TestRtsp(ApplianceSuite):
    """A real server and a real client, and one that looks at every octet."""

    callout_args = ("as-is", "echo", f"replace,replace={NAME}=Seen", "log", "block:urn:example:no,eicar=no,pattern=GStreamer",
                    "answer,status=454,phrase=Session Not Found,text=no")

    def start_origin(self) -> Process:
        self.recording = random.Random(5).randbytes(44100 * 4 * SECONDS)
        file = self.lab.dir / "recording"
        file.write_bytes(self.recording)
        p = self.lab.srv.start("rtsp-server", "/usr/bin/python3", str(self.lab.root / "dts/opes_api/rtsp_server.py"), SRV4,
                               str(PORT), str(file))
        p.wait_line("rtsp-server: ready")
        return p

    def put(self, *rules: str) -> None:
        self.lab.set_rules("[" + ", ".join(rules) + "]", '[{name: as-is, address: "tcp:127.0.0.1:4037"}, {name: echo, address: '
                           '"tcp:127.0.0.1:4037"}, {name: replace, address: "tcp:127.0.0.1:4037"}, {name: log, address: '
                           '"tcp:127.0.0.1:4037"}, {name: answer, address: "tcp:127.0.0.1:4037"}, {name: no, address: '
                           '"tcp:127.0.0.1:4037", uri: "urn:example:no"}]')
        self.lab.wait_rules()
        for name in ("as-is", "echo", "replace", "log", "answer", "no"):
            if any(f"service: {name}" in r for r in rules):
                self.lab.wait_service(name)

    def client(self, *argv: str) -> dict:
        """What our client says, and what it got in self.got."""
        file = self.lab.dir / "played"
        file.unlink(missing_ok=True)
        argv = tuple(str(file) if x == "FILE" else x for x in argv)
        out = json.loads(self.in_cli("rtsp_client", SRV4, str(PORT), *argv, timeout=90).splitlines()[-1])
        self.got = file.read_bytes() if file.exists() else b""
        return out

    def played(self, out: dict, whole: bool = True) -> None:
        """Frames without a gap, and the recording in them."""
        verify(out["error"] is None, f"{out}")
        verify(out["gaps"] == 0 and out["frames"] > 50, f"{out['frames']} frames, {out['gaps']} gaps")
        if whole:
            verify(self.got == self.recording, same(self.got, self.recording))
        else:
            verify(self.recording.startswith(self.got) and len(self.got) > 0, same(self.got, self.recording))

    def gst_plays(self) -> None:
        """GStreamer's client plays it whole."""
        file = self.lab.dir / "played"
        file.unlink(missing_ok=True)
        r = self.lab.cli.run("gst-launch-1.0", "-q", "rtspsrc", f"location={URL}", "protocols=tcp", "!", "rtpL16depay", "!",
                             "filesink", f"location={file}", timeout=90, check=False)
        got = file.read_bytes() if file.exists() else b""
        verify(r.returncode == 0 and got == self.recording, f"{r.returncode} {r.stderr[-500:]} {same(got, self.recording)}")

    @func_test
    def real_ends(self) -> None:
        """GStreamer's server and client through as-is.

        Steps:
            Play the recording with gst-launch (rtspsrc, TCP) with all messages through as-is, then through echo.
        Verify:
            Every octet of it; messages of both kinds were adapted; interleaved frames were counted, none went to the service.
        """
        for service in ("as-is", "echo"):
            self.put(rule(service, "kind: [request, response]"))
            with self.delta() as d:
                self.gst_plays()
            verify(d["rtsp_request"] >= 4 and d["rtsp_response"] >= 4 and d["txn_failed"] == 0, f"{d}")
            verify(d["msg_adapted"] == d["rtsp_request"] + d["rtsp_response"], f"{d}")
            verify(d["rtsp_frames"] > 50 and d["rtsp_frame_octets"] > len(self.recording), f"{d}")
            verify(d["callout_octets_out"] < 20000, f"{d}")

    @func_test
    def description_replaced(self) -> None:
        """A service changes the SDP that DESCRIBE brings, and the stream plays.

        Steps:
            DESCRIBE through replace, which makes the session's name shorter; SETUP and PLAY on the same connection, also
            with requests sent octet by octet; gst-launch.
        Verify:
            The new name, all other lines as without the appliance's service; one Content-Length, the right one; the same CSeq;
            frames without a gap, every octet of the recording.
        """
        self.put(rule("log", "kind: request, method: NOTHING"))
        plain = self.client()["describe"]
        verify(NAME in plain["body"], f"{plain}")
        self.put(rule("replace"))
        for more in ((), ("--slow",)):
            with self.delta() as d:
                out = self.client("--play", "FILE", "--ask", "3", *more)
            sdp = out["describe"]
            verify("s=Seen\r\n" in sdp["body"] and NAME not in sdp["body"], f"{sdp}")
            want = [x for x in plain["body"].splitlines() if x[:2] not in ("o=", "s=") and "ssrc" not in x]
            got = [x for x in sdp["body"].splitlines() if x[:2] not in ("o=", "s=") and "ssrc" not in x]
            verify(got == want, f"{got}")
            verify(sdp["lengths"] == 1 and int(sdp["fields"]["content-length"]) == len(sdp["body"]), f"{sdp}")
            verify(d["msg_adapted"] == 1 and d["txn_done"] == 1, f"{d}")
            self.played(out)
        self.gst_plays()

    @func_test
    def dialect_core(self) -> None:
        """The same in the dialect core, which has no profile for RTSP: the service hears a stream of octets.

        Steps:
            All messages through as-is and through replace while the recording plays.
        Verify:
            As description_replaced.
        """
        for service in ("as-is", "replace"):
            self.lab.set_rules(f"[{rule(service, 'kind: [request, response]')}]",
                               f'[{{name: {service}, address: "tcp:127.0.0.1:4037", dialect: core}}]')
            self.lab.wait_rules()
            self.lab.wait_service(service)
            with self.delta() as d:
                out = self.client("--play", "FILE", "--ask", "3")
            sdp = out["describe"]
            verify(("s=Seen\r\n" if service == "replace" else NAME) in sdp["body"], f"{sdp}")
            verify(sdp["lengths"] == 1 and int(sdp["fields"]["content-length"]) == len(sdp["body"]), f"{sdp}")
            verify(d["msg_adapted"] >= 16 and d["txn_failed"] == 0, f"{d}")
            self.played(out)

    @func_test
    def questions_while_it_plays(self) -> None:
        """Messages between frames.

        Steps:
            Eight GET_PARAMETER requests while the recording plays, requests and responses through echo.
        Verify:
            Each is answered, no frame is lost, cut or out of order.
        """
        self.put(rule("echo", "kind: [request, response]"))
        out = self.client("--play", "FILE", "--ask", "8")
        self.played(out)
        verify([a["line"] for a in out["answers"]] == ["RTSP/1.0 200 OK"] * 8, f"{out['answers']}")

    @func_test
    def service_answers(self) -> None:
        """A service answers in the server's place.

        Steps:
            OPTIONS crosses; DESCRIBE is answered by answer; its response is answered by block; while it plays
            GET_PARAMETER is answered by answer.
        Verify:
            Status and CSeq are the client's to use; the server sees no such request; frames around the answers are whole.
        """
        self.put(rule("answer", "kind: request, method: DESCRIBE"))
        out = self.client()
        verify(out["options"]["line"] == "RTSP/1.0 200 OK", f"{out}")
        verify(out["describe"]["line"] == "RTSP/1.0 454 Session Not Found" and out["describe"]["body"] == "no", f"{out}")
        self.put(rule("no", on_failure="closed"))
        out = self.client()
        verify(out["describe"]["line"].startswith("RTSP/1.0 403 ") and "Blocked" in out["describe"]["body"], f"{out}")
        self.put(rule("answer", "kind: request, method: GET_PARAMETER"))
        out = self.client("--play", "FILE", "--ask", "8")
        self.played(out)
        verify([a["line"] for a in out["answers"]] == ["RTSP/1.0 454 Session Not Found"] * 8, f"{out['answers']}")

    @func_test
    def rules(self) -> None:
        """What rules do.

        Steps:
            block, observe, bypass and tunnel; conditions on method, path and content type.
        Verify:
            403 with the request's CSeq; the service sees a copy; the others cross.
        """
        block = f"{{name: no, match: {{protocol: rtsp, server-port: {PORT}, method: DESCRIBE, path: /live}}, action: block}}"
        self.put(block)
        out = self.client()
        verify(out["describe"]["line"] == "RTSP/1.0 403 Forbidden", f"{out}")
        verify("404" in self.client("--path", "/other")["describe"]["line"], "another path")
        self.put(rule("log", "kind: [request, response]", action="observe"))
        with self.delta() as d:
            out = self.client("--play", "FILE", "--stop-at", "100000")
        self.played(out, whole=False)
        verify(d["msg_observed"] >= 8 and d["msg_adapted"] == 0, f"{d}")
        self.callout.wait_line("DESCRIBE rtsp://", 5)
        self.put(f"{{name: t, match: {{protocol: rtsp, server-port: {PORT}, method: SETUP}}, action: tunnel}}", rule("replace"))
        with self.delta() as d:
            out = self.client("--play", "FILE", "--ask", "2")
        self.played(out)
        verify(d["msg_tunnel"] == 1 and d["msg_adapted"] == 1 and d["rtsp_frames"] == 0, f"{d}")
        self.put(rule("replace", "content-type: application/sdp"))
        verify("s=Seen" in self.client()["describe"]["body"], "by content type")

    @func_test
    def callout_killed(self) -> None:
        """The callout server dies.

        Steps:
            Kill it while the recording plays; then DESCRIBE with open, closed and answer; let it come back.
        Verify:
            The frames go on without a gap; the original description, a reset, 502 with the CSeq; then adapted again.
        """
        self.put(rule("replace"))
        p = self.lab.cli.argv(tuple(self.lab.cli.module("rtsp_client", SRV4, str(PORT), "--play", str(self.lab.dir / "played"),
                                                        "--pause")))
        client = subprocess.Popen(p, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        verify(client.stdout is not None and client.stdout.readline() == "half\n", "it plays")
        self.callout.kill()
        out = json.loads(client.communicate("\n", timeout=90)[0].splitlines()[-1])
        self.got = (self.lab.dir / "played").read_bytes()
        self.played(out)
        for on_failure in ("open", "closed", "answer"):
            self.lab.set_rules(f"[{rule('replace', on_failure=on_failure)}]", '[{name: replace, address: "tcp:127.0.0.1:4037"}]')
            self.lab.wait_rules()
            self.lab.wait_service("replace", "down")
            out = self.client()
            if on_failure == "open":
                verify(NAME in out["describe"]["body"], f"{out}")
            elif on_failure == "closed":
                verify(out["error"] is not None and "Connection" in out["error"], f"{out}")
            else:
                verify(out["describe"]["line"] == "RTSP/1.0 502 Bad Gateway", f"{out}")
        self.callout = self.lab.start_callout(*self.callout_args)
        self.put(rule("replace"))
        verify("s=Seen" in self.client()["describe"]["body"], "adapted again")

    @func_test
    def not_rtsp(self) -> None:
        """Other traffic on the port, and broken messages.

        Steps:
            HTTP to the RTSP port with closed; a request with Transfer-Encoding; one of RTSP/2.0.
        Verify:
            400 and 505, nothing of it reaches the server, the connection is closed; counted.
        """
        self.put(rule("as-is", "kind: [request, response]", on_failure="closed"))
        code = ("import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)\n"
                "s.sendall(bytes.fromhex(sys.argv[3])); d = b''\n"
                "while (x := s.recv(65536)): d += x\n"
                "print(d.decode())")
        for text, want in (("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "RTSP/1.0 400 "), ("OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 505 "),
                           ("OPTIONS * RTSP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "RTSP/1.0 400 ")):
            with self.delta() as d:
                r = self.lab.cli.python(code, SRV4, str(PORT), text.encode().hex())
            verify(r.stdout.startswith(want), f"{text!r}: {r.stdout!r}")
            verify(d["msg_refused"] == 1 and d["rtsp_response"] == 0, f"{d}")
        wait_for("the server still answers", lambda: self.client()["describe"]["line"] == "RTSP/1.0 200 OK", 10)
