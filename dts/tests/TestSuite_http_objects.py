# SPDX-License-Identifier: BSD-3-Clause
"""HTTP messages of every form and size through the services: what arrives equals an independent calculation."""

from __future__ import annotations

import json

from opes_api.appliance import ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4, SRV6
from opes_api.objects import Obj, adapted, collection
from opes_api.suite import func_test, verify

BOTH = "[request, response]"

WRK_SCRIPT = """
local wanted, paths, bad, good = {}, {}, 0, 0
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  for line in io.lines(args[1]) do
    local path, file = line:match("^(%S+) (%S+)$")
    local f = io.open(file, "rb")
    wanted[path] = f:read("*a")
    f:close()
    table.insert(paths, path)
  end
  math.randomseed(tonumber(args[2]))
end

function request() return wrk.format("GET", paths[math.random(#paths)]) end

function response(status, headers, body)
  local path = headers["X-Object"]
  if status == 200 and path and wanted[path] == body then good = good + 1 else bad = bad + 1 end
  totals = good .. " " .. bad
end

function done(summary, latency, requests)
  local g, b, e = 0, 0, summary.errors
  for _, t in ipairs(threads) do
    local x, y = (t:get("totals") or "0 0"):match("(%d+) (%d+)")
    g, b = g + x, b + y
  end
  print(string.format('RESULT {"good": %d, "bad": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}',
                      g, b, e.connect, e.read, e.write, e.status, e.timeout))
end
"""


class TestHttpObjects(ApplianceSuite):
    """HTTP/1 through as-is, echo and replace."""

    def check_objects(self, service: str, objs: list[Obj], addr: str = SRV4) -> None:
        """Fetch all objects with one curl that keeps its connection; compare; check what the counters say."""
        self.use(adapt_rule(service))
        folder = self.lab.dir / "objects"
        folder.mkdir(exist_ok=True)
        config = folder / "curl.cfg"
        config.write_text("".join(f'url = "{url(o.path, addr)}"\noutput = "{folder}/{i}"\n' for i, o in enumerate(objs)))
        with self.delta() as d:
            self.lab.cli.run("curl", "-sSf", "--max-time", "240", "-K", str(config), timeout=300)
        sent = 0
        for i, o in enumerate(objs):
            file, body = folder / str(i), o.body()
            # curl makes no file of an empty body.
            got, want = file.read_bytes() if file.exists() else b"", adapted(service, body)
            verify(got == want, f"{o.path} through {service}: {same(got, want)}")
            file.unlink(missing_ok=True)
            sent += len(body)
        closing = sum(o.mode == "close" for o in objs)
        verify(d["msg_adapted"] == len(objs) and d["txn_done"] == len(objs),
               f"{len(objs)} messages were to be adapted, {d['msg_adapted']} were, {d['txn_done']} to their end")
        verify(d["fail_open"] == 0 and d["txn_failed"] == 0, f"transactions failed: {self.lab.events()[-3:]}")
        verify(closing <= d["flow_created"] <= closing + 2,
               f"connections were not kept: {d['flow_created']} for {closing} closing responses")
        if service == "as-is":
            verify(d["as_is_octets"] >= sent and d["callout_octets_in"] < sent // 1000,
                   f"{sent} octets were to come back by reference, {d['as_is_octets']} did, "
                   f"{d['callout_octets_in']} as octets")
        elif service == "echo":
            verify(d["callout_octets_in"] >= sent and d["as_is_octets"] == 0,
                   f"{sent} octets were to come back, {d['callout_octets_in']} did, {d['as_is_octets']} by reference")
        verify(d["callout_octets_out"] >= sent, f"the service saw {d['callout_octets_out']} of {sent} octets")

    @func_test
    def as_is_1000_objects(self) -> None:
        """A thousand objects through as-is, one connection kept.

        Steps:
            Fetch 1,000 seeded objects (1 octet to 64 MiB; Content-Length, chunked, trailers, close-delimited, gzip).
        Verify:
            Every body equals the calculated one; each was adapted; its octets came back by reference.
        """
        self.check_objects("as-is", collection(1000))

    @func_test
    def echo_1000_objects(self) -> None:
        """A thousand objects through echo.

        Steps:
            As as_is_1000_objects, with the service echo.
        Verify:
            Every body equals the calculated one; every octet came from the service.
        """
        self.check_objects("echo", collection(1000))

    @func_test
    def replace_1000_objects(self) -> None:
        """A thousand objects through replace, which changes their sizes.

        Steps:
            As as_is_1000_objects, with the service replace.
        Verify:
            Every body equals the calculated one with each occurrence of the pattern replaced.
        """
        objs = collection(1000)
        verify(any(adapted("replace", o.body()) != o.body() for o in objs), "the objects carry no pattern")
        self.check_objects("replace", objs)

    @func_test
    def ipv6_objects(self) -> None:
        """The same over IPv6.

        Steps:
            Fetch 150 objects over IPv6 through each service.
        Verify:
            Every body equals the calculated one.
        """
        objs = [o for o in collection(150, seed=6) if o.size < 32 << 20]
        for service in ("as-is", "echo", "replace"):
            self.check_objects(service, objs, SRV6)

    @func_test
    def uploads(self) -> None:
        """Requests with bodies.

        Steps:
            POST bodies of 0 octets to 8 MiB with Content-Length, chunked, and after 100 (Continue), through each
            service; then 8 MiB with curl.
        Verify:
            Length and SHA-256 that the server saw are the calculated ones; exactly one 100 comes when asked for.
        """
        body = Obj("length", 4242, 8 << 20).body()
        file = self.lab.dir / "upload.bin"
        file.write_bytes(body)
        for service in ("as-is", "echo", "replace"):
            self.use(adapt_rule(service, kind="request"))
            with self.delta() as d:
                text = self.in_cli("client", "upload", SRV4, "8000", service)
            verify(text.startswith("27 uploads"), text)
            verify(d["msg_adapted"] == 27 == d["txn_done"], f"{d['msg_adapted']} of 27 requests were adapted")
            verify(d["fail_open"] == 0, "a transaction failed")
            got = self.lab.curl("--data-binary", f"@{file}", url("/upload")).stdout
            want = adapted(service, body)
            verify(got.split()[0] == str(len(want)), f"curl's upload through {service}: {got}")
        file.unlink()

    @func_test
    def pipelined_requests(self) -> None:
        """Many requests at once on one connection.

        Steps:
            Write 200 GET, HEAD and POST requests (cut at random places) without waiting, requests and responses
            adapted, through each service.
        Verify:
            The answers come in order, each strictly framed and equal to the calculated one, trailers included.
        """
        for service in ("as-is", "echo", "replace"):
            self.use(adapt_rule(service, kind=BOTH))
            with self.delta() as d:
                text = self.in_cli("client", "pipeline", SRV4, "8000", service, "200", "5")
            verify(text.startswith("200 answers"), text)
            verify(d["msg_request"] == d["msg_response"] == 200, f"{d['msg_request']} requests were framed")
            verify(d["msg_adapted"] == 400 and d["fail_open"] == 0, f"{d['msg_adapted']} of 400 messages were adapted")
            verify(d["flow_created"] == 1, f"{d['flow_created']} connections")

    @func_test
    def special_messages(self) -> None:
        """Messages without a body, interim responses, a switch of protocols.

        Steps:
            HEAD, 204, 304, 103 before 200, 404, then 101 with a byte tunnel behind it, on one connection, requests and
            responses adapted, through each service.
        Verify:
            Each is framed right, nothing follows a message without a body; the tunnel carries every octet.
        """
        for service in ("as-is", "echo", "replace"):
            self.use(adapt_rule(service, kind=BOTH))
            with self.delta() as d:
                text = self.in_cli("client", "special", SRV4, "8000")
            verify("special messages" in text, text)
            # 7 requests; the responses but 101, which is between the ends, and the interim one.
            verify(d["msg_adapted"] == 13, f"{d['msg_adapted']} messages were adapted")
            verify(d["msg_tunnel"] == 1 and d["fail_open"] == 0, "the connection did not become a tunnel")

    @func_test
    def hundred_connections(self) -> None:
        """A hundred concurrent connections.

        Steps:
            wrk with 100 connections fetches 60 small objects at random for some seconds, through each service.
        Verify:
            Every answer is the calculated body of the object it says it is; no error of any kind.
        """
        objs = [o for o in collection(300, seed=9) if o.mode != "close" and o.size <= 1 << 16][:60]
        folder = self.lab.dir / "wrk"
        folder.mkdir(exist_ok=True)
        script, index = folder / "check.lua", folder / "index"
        script.write_text(WRK_SCRIPT)
        for service in ("as-is", "echo", "replace"):
            for i, o in enumerate(objs):
                (folder / f"body{i}").write_bytes(adapted(service, o.body()))
            index.write_text("".join(f"{o.path} {folder}/body{i}\n" for i, o in enumerate(objs)))
            self.use(adapt_rule(service))
            with self.delta() as d:
                out = self.lab.cli.run("wrk", "-t", "2", "-c", "100", "-d", "5s", "--timeout", "20s", "-s", str(script),
                                       url("/"), "--", str(index), "7").stdout
            r = json.loads(out.split("RESULT ", 1)[1])
            verify(r["good"] > 500, f"only {r['good']} answers through {service}\n{out}")
            verify(sum(r.values()) == r["good"], f"wrong answers or errors through {service}: {r}")
            # Those under way when wrk ends are cut.
            verify(d["msg_adapted"] >= r["good"] and d["fail_open"] == 0, f"not all were adapted: {r} {d['msg_adapted']}")
            verify(100 <= d["flow_created"] <= 110, f"{d['flow_created']} connections for 100")
            print(f"    {service}: {r['good']} answers right")
