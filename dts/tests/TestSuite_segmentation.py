# SPDX-License-Identifier: BSD-3-Clause
"""Ports that cut large frames themselves: TAP interfaces of the kernel, whose driver takes frames of many segments (TSO)."""

from __future__ import annotations

import hashlib
import os

from opes_api.appliance import ECHO_PORT, HTTP_PORT, ApplianceSuite, adapt_rule, same, services, url
from opes_api.lab import SRV4, SRV6
from opes_api.hugepages import Hugepages
from opes_api.objects import Obj, adapted
from opes_api.suite import func_test, skip, verify
from opes_api.tap import TandemLab, TapLab

SIZE = 64 << 20
TANDEM_PAGES = 400  # of 2 MiB, for two appliances


class TestSegmentation(ApplianceSuite):
    """The appliance makes both interfaces; the ends' kernels use them."""

    def set_up_suite(self) -> None:
        if "OPES_TESTBED" in os.environ:
            skip("a testbed has ports of its own")
        self.lab = TapLab()
        self.lab.make()
        self.callout = self.lab.start_callout(*self.callout_args)
        self.lab.start()
        self.origin = self.start_origin()

    def download(self, obj: Obj, service: str, addr: str = SRV4) -> dict[str, int]:
        self.use(*([adapt_rule(service)] if service else []))
        with self.delta() as d:
            r = self.fetch(obj, addr=addr)
        want = adapted(service, obj.body()) if service else obj.body()
        verify(r.returncode == 0 and r.stdout.startswith("200 "), f"{addr}: {r.stdout} {r.stderr}")
        verify(hashlib.sha256(self.got).digest() == hashlib.sha256(want).digest(), f"{addr}: {same(self.got, want)}")
        verify(not service or (d["msg_adapted"] == 1 and d["fail_open"] == 0), "it was not adapted")
        return d

    def upload(self, body: bytes, service: str, addr: str = SRV4) -> dict[str, int]:
        self.use(adapt_rule(service, kind="request"))
        file = self.lab.dir / "upload-body"
        file.write_bytes(body)
        with self.delta() as d:
            r = self.lab.curl("-w", "%{http_code}", "--data-binary", f"@{file}", "-H", "Expect:",
                              url("/upload", addr)).stdout.split()
        want = adapted(service, body)
        verify(r[:2] == [str(len(want)), hashlib.sha256(want).hexdigest()], f"{addr}: the server got {r[:2]}")
        verify(d["msg_adapted"] == 1 and d["fail_open"] == 0, "it was not adapted")
        return d

    def judge(self, d: dict[str, int]) -> None:
        """Most octets left in frames of many segments. The driver took them, but for those whose checksums it gets wrong
        (mbufs of odd length)."""
        verify(d["tx_tso_frames"] > 0, f"none of {d['tx_frames']} frames was left to the port to cut")
        verify(d["tcp_segs_out"] * 4 < SIZE // 1446, f"{d['tcp_segs_out']} frames, hardly larger than a segment")
        verify(d["tx_dropped"] == 0, f"lost: {d}")

    @func_test
    def download_as_is(self) -> None:
        """A large download through as-is.

        Steps:
            Fetch 64 MiB through as-is.
        Verify:
            SHA-256 is right; what went to the client went in frames the port cut.
        """
        self.judge(self.download(Obj("length", 801, SIZE), "as-is"))

    @func_test
    def upload_as_is(self) -> None:
        """A large upload through as-is.

        Steps:
            As download_as_is, with a POST.
        Verify:
            Length and SHA-256 at the server are right; what went to it went in frames the port cut.
        """
        self.judge(self.upload(Obj("length", 802, SIZE).body(), "as-is"))

    @func_test
    def changed_octets(self) -> None:
        """Octets that come back from a service.

        Steps:
            Fetch 8 MiB, chunked, through replace and echo; upload 8 MiB through replace.
        Verify:
            Every octet is right; large frames were sent.
        """
        for service in ("replace", "echo"):
            d = self.download(Obj("chunked", 803, 8 << 20), service)
            verify(d["tx_tso_frames"] + d["gso_cut_frames"] > 0, f"{service}: no large frame was sent")
        d = self.upload(Obj("length", 804, 8 << 20).body(), "replace")
        verify(d["tx_tso_frames"] + d["gso_cut_frames"] > 0, "no large frame was sent")

    @func_test
    def ipv6_by_single_segments(self) -> None:
        """The driver cuts IPv4 only.

        Steps:
            Fetch and upload 16 MiB over IPv6 through as-is.
        Verify:
            Every octet is right; no large frame was made.
        """
        for d in (self.download(Obj("length", 805, 16 << 20), "as-is", SRV6),
                  self.upload(Obj("length", 806, 16 << 20).body(), "as-is", SRV6)):
            verify(d["tx_tso_frames"] == 0 and d["gso_cut_frames"] == 0, f"large frames over IPv6: {d}")

    @func_test
    def bypass_and_streams(self) -> None:
        """What is not HTTP, or nobody asked for.

        Steps:
            Fetch 16 MiB with no rule; echo 4 MiB on each of 4 connections through as-is.
        Verify:
            Every octet is right.
        """
        d = self.download(Obj("length", 807, 16 << 20), "")
        verify(d["flow_created"] == 0 and d["tx_tso_frames"] == 0, "the bypass took up a flow")
        self.use(adapt_rule("as-is", kind="stream", port=ECHO_PORT, protocol="tcp"))
        text = self.in_cli("client", "echo", SRV4, str(ECHO_PORT), "as-is", str(4 << 20), "4", "41")
        verify(text.startswith(f"4 x {4 << 20} octets"), text)

    @func_test
    def switched_off(self) -> None:
        """segmentation-offload: off.

        Steps:
            Start the appliance with the key on both ports; fetch 16 MiB through as-is.
        Verify:
            Every octet is right; no frame is left to the port to cut.
        """
        with TapLab(tag=f"{self.lab.tag}o", port_keys=", segmentation-offload: off") as lab:
            mine, self.lab = self.lab, lab
            try:
                lab.start_callout(*self.callout_args)
                lab.start(rules=f"[{adapt_rule('as-is')}]", services=services("as-is"))
                self.start_origin()
                d = self.download(Obj("length", 808, 16 << 20), "as-is")
                verify(d["tx_tso_frames"] == 0, "a frame was left to the port to cut")
            finally:
                self.lab = mine

    @func_test
    def merged_frames_come(self) -> None:
        """A port that gives large received segments (LRO), with a real sender of such behind it.

        Steps:
            Put a second appliance behind ours, joined by vhost-user and virtio, whose halves send large frames; download
            32 MiB through as-is, over IPv4 and IPv6; the same with no rule of ours.
        Verify:
            SHA-256 is right each time; large frames came, selected and bypassed, and none left longer than the MTU: the
            client's interface takes no longer ones.
        """
        with Hugepages() as more, TandemLab(f"{HTTP_PORT}", tag=f"{self.lab.tag}v") as lab:
            mine, self.lab = self.lab, lab
            verify(more.have(TANDEM_PAGES), f"{TANDEM_PAGES} free hugepages are needed")
            try:
                lab.start_callout(*self.callout_args)
                lab.start(rules=f"[{adapt_rule('as-is')}]", services=services("as-is"))
                self.start_origin()
                for service in ("as-is", ""):
                    for addr in (SRV4, SRV6):
                        d = self.download(Obj("length", 809, 32 << 20), service, addr)
                        verify(d["rx_large_frames"] > 100, f"{service or 'bypass'} {addr}: no large frames came: {d}")
                        verify((d["tcp_segs_in"] > 0) == bool(service), f"selected or not: {d}")
            finally:
                self.lab = mine
