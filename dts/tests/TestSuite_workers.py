# SPDX-License-Identifier: BSD-3-Clause
"""Several workers and other places for the callout connections."""

from __future__ import annotations

import os

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule, same, services, url
from opes_api.lab import SRV4, SRV6
from opes_api.objects import Obj, adapted
from opes_api.suite import func_test, skip, verify

LCORES = ("{workers: [0, 1], callout: 0}", "{workers: [0], callout: 1}", "{workers: [0, 1], callout: 1, idle-backoff: false}")


class TestWorkers(ApplianceSuite):
    """The same traffic with every arrangement of lcores that two processors allow."""

    def set_up_suite(self) -> None:
        if (os.cpu_count() or 1) < 2:
            skip("one processor")
        super().set_up_suite()

    def restart(self, lcores: str) -> None:
        for p in (self.lab.control, self.lab.dataplane):
            verify(p.stop() == 0, f"{p.name} ended with {p.popen.returncode}")
            self.lab.processes.remove(p)
        self.lab.write_config(driver=self.lab.driver, **dict(
            self.lab._config_args, rules=f"[{adapt_rule('replace')}, "
            f"{adapt_rule('as-is', kind='stream', port=ECHO_PORT, protocol='tcp')}]",
            services=services("as-is", "echo", "replace"), lcores=lcores))
        self.lab.start_dataplane()
        self.lab.start_control()
        self.lab.wait_rules()
        for s in ("replace", "as-is"):
            self.lab.wait_service(s)

    @func_test
    def every_arrangement(self) -> None:
        """Objects, echoes, load and reload with several workers.

        Steps:
            For each arrangement: start; fetch objects over IPv4 and IPv6 on many connections, echo bytes, run wrk with 64
            connections and reload meanwhile.
        Verify:
            Every octet is right; wrk sees no error; with two workers both had flows; nothing is left.
        """
        objs = [Obj(("length", "chunked", "close", "trailers")[i % 4], 70 + i, 1 + i * i * 900) for i in range(40)]
        for lcores in LCORES:
            self.restart(lcores)
            for i, o in enumerate(objs):
                r = self.fetch(o, addr=(SRV4, SRV6)[i % 2])
                want = adapted("replace", o.body())
                verify(r.returncode == 0 and self.got == want, f"{lcores} {o.path}: {r.stderr} {same(self.got, want)}")
            out = self.in_cli("client", "echo", SRV4, str(ECHO_PORT), "as-is", str(1 << 20), "8", "3")
            verify(out.startswith("8 x "), out)
            wrk = self.lab.cli.start("wrk", "wrk", "-t", "1", "-c", "64", "-d", "4s", "--timeout", "15s",
                                     url("/o/length/1/3000/0"))
            for _ in range(4):
                self.lab.ctl("rules", "reload")
            wrk.popen.wait(40)
            text = wrk.output()
            verify("Requests/sec" in text and "Socket errors" not in text and "Non-2xx" not in text, f"{lcores}: {text}")
            r = self.lab.ctl_json("counters", "--all")["counters"]
            flows = next(c for c in r if c["name"] == "flow_created")["workers"]
            verify(all(n > 10 for n in flows) and len(flows) == lcores.count("[0, 1]") + 1, f"{lcores}: flows {flows}")
            c = self.lab.counters()
            verify(c["fail_open"] == 0 and c["msg_adapted"] > 500, f"{lcores}: {c}")
            self.lab.drained()
            print(f"    {lcores}: flows of each worker {flows}")
