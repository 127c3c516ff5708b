# SPDX-License-Identifier: BSD-3-Clause
"""One percent of all packets is lost on every leg, both ways: every octet arrives and the rate holds."""

from __future__ import annotations

import hashlib
import os

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4, human_rate
from opes_api.objects import Obj, adapted
from opes_api.suite import func_test, skip, verify

SIZE = 24 << 20
COLLAPSED = 0.1
ROUNDS = 2


class TestLoss(ApplianceSuite):
    """Cables lead through bridges where nftables drops; another such cable lies beside the appliance."""

    lab_args = {"bridged": True}

    def set_up_suite(self) -> None:
        if "OPES_TESTBED" in os.environ:
            skip("a testbed has no bridges in its cables")
        super().set_up_suite()
        self.direct = self.lab.direct_link()[0]
        self.lab.lose(10)

    def download(self, addr: str, obj: Obj, service: str) -> float:
        """One GET; its rate in octets/s."""
        r = self.fetch(obj, addr=addr)
        verify(r.returncode == 0 and r.stdout.startswith("200 "), f"{addr}: {r.stdout} {r.stderr}")
        want = adapted(service, obj.body())
        verify(self.got == want, f"{addr}: {same(self.got, want)}")
        return float(r.stdout.split()[1])

    def upload(self, addr: str, body: bytes, service: str) -> float:
        file = self.lab.dir / "lossy-upload"
        file.write_bytes(body)
        r = self.lab.curl("-w", "%{speed_upload}", "--data-binary", f"@{file}", "-H", "Expect:",
                          url("/upload", addr)).stdout.split()
        want = adapted(service, body)
        verify(r[:2] == [str(len(want)), hashlib.sha256(want).hexdigest()], f"{addr}: the server got {r[:2]}")
        return float(r[2])

    def compare(self, what: str, transfer, rule: str) -> None:
        """Alternate through the appliance, through its bypass, and beside it; print the rates and judge the ratio."""
        rate = {"adapted": 0.0, "bypass": 0.0, "beside": 0.0}
        for _ in range(ROUNDS):
            self.use(rule)
            lost = self.lab.lost()
            with self.delta() as d:
                rate["adapted"] += transfer(SRV4)
            gone = {k: v - lost[k] for k, v in self.lab.lost().items()}
            verify(all(gone[k] > 0 for k in ("cli0", "in0", "srv0", "out0")) and sum(gone.values()) > 200,
                   f"hardly anything was lost: {gone}")
            verify(d["tcp_retrans"] > 0 and d["tcp_ooo"] > 0, f"no loss met the appliance: {d}")
            verify(d["msg_adapted"] == 1 and d["fail_open"] == 0, "it was not adapted")
            rate["beside"] += transfer(self.direct)
            self.use()
            with self.delta() as d:
                rate["bypass"] += transfer(SRV4)
            verify(d["flow_created"] == 0, "the bypass took up a flow")
        mean = {k: v / ROUNDS for k, v in rate.items()}
        print(f"    {what}: adapted {human_rate(mean['adapted'], 1)}, bypassed {human_rate(mean['bypass'], 1)}, without "
              f"the appliance {human_rate(mean['beside'], 1)}; ratio {mean['adapted'] / mean['bypass']:.2f} to the "
              f"bypass, {mean['adapted'] / mean['beside']:.2f} to no appliance")
        for other in ("bypass", "beside"):
            verify(mean["adapted"] >= COLLAPSED * mean[other], f"{what}: throughput collapsed: {mean}")

    @func_test
    def download_as_is(self) -> None:
        """A large download through as-is.

        Steps:
            Fetch 24 MiB through as-is, through a bypass and over a cable beside the appliance, in turn, twice, with
            1 % loss on each cable in each direction.
        Verify:
            Every octet is right; the rate is no less than a tenth of the rate over one such cable without the appliance.
        """
        obj = Obj("length", 501, SIZE)
        self.compare("download", lambda addr: self.download(addr, obj, "as-is"), adapt_rule("as-is"))

    @func_test
    def upload_as_is(self) -> None:
        """A large upload through as-is.

        Steps:
            As download_as_is, with a POST.
        Verify:
            Length and SHA-256 at the server are right; the rate holds.
        """
        body = Obj("length", 502, SIZE).body()
        self.compare("upload", lambda addr: self.upload(addr, body, "as-is"), adapt_rule("as-is", kind="request"))

    @func_test
    def many_objects(self) -> None:
        """Small objects and changed octets under loss.

        Steps:
            Fetch 60 objects, each on a connection of its own, and 4 MiB chunked, through replace.
        Verify:
            Every body is the calculated one.
        """
        self.use(adapt_rule("replace"))
        for i in range(60):
            obj = Obj(("length", "chunked", "close", "trailers")[i % 4], 600 + i, 1 + i * 997)
            r = self.fetch(obj)
            verify(r.returncode == 0, f"{obj.path}: {r.stderr}")
            want = adapted("replace", obj.body())
            verify(self.got == want, f"{obj.path}: {same(self.got, want)}")
        with self.delta() as d:
            self.download(SRV4, Obj("chunked", 661, 4 << 20), "replace")
        verify(d["msg_adapted"] == 1 and d["fail_open"] == 0, "it was not adapted")

    @func_test
    def opaque_stream(self) -> None:
        """A byte echo under loss.

        Steps:
            3 connections echo 2 MiB each through as-is and echo.
        Verify:
            Every octet comes back.
        """
        for service in ("as-is", "echo"):
            self.use(adapt_rule(service, kind="stream", port=ECHO_PORT, protocol="tcp"))
            out = self.in_cli("client", "echo", SRV4, str(ECHO_PORT), service, str(2 << 20), "3", "1")
            verify(out.startswith("3 x "), out)
