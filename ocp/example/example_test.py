#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""libocp for others: the example builds against an installed prefix by pkg-config alone, and works in both dialects.

usage: example_test.py SOURCE-ROOT BUILD-DIR
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT, BUILD = (Path(a).resolve() for a in sys.argv[1:3])
sys.path.insert(0, str(ROOT / "dts"))
sys.dont_write_bytecode = True

from opes_api.ocp import Processor, failed  # noqa: E402
from opes_api.ocp.processor import REQUEST_META, RESPONSE_META, STREAM_META  # noqa: E402

UPPER = "urn:example:upper"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
PAGE = [("response-header", HEAD), ("response-body", b"the original")]


def run(*argv: str, env: dict[str, str] | None = None) -> str:
    """Its output; the test fails with its messages when it does."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **(env or {})})
    if done.returncode:
        raise AssertionError(f"{shlex.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    """An installation in a folder that goes with the test."""

    dir: Path
    program: Path

    @classmethod
    def setUpClass(cls) -> None:
        options = {o["name"]: o["value"] for o in json.loads(run("meson", "introspect", "--buildoptions", str(BUILD)))}
        if options.get("b_sanitize", "none") != "none":
            raise unittest.SkipTest("a library with sanitizers is not one for others")
        cls.dir = Path(tempfile.mkdtemp(prefix="ocp-example-"))
        prefix = cls.dir / "root"
        run("meson", "install", "-C", str(BUILD), "--no-rebuild", "--tags", "devel", "--destdir", str(prefix))
        pc = next(prefix.rglob("libocp.pc"))
        cls.env = {"PKG_CONFIG_LIBDIR": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(prefix)}
        cls.flags = shlex.split(run("pkg-config", "--cflags", "--libs", "libocp", env=cls.env))
        cls.prefix = prefix
        cls.program = cls.dir / "upper"
        shutil.copy(ROOT / "ocp" / "example" / "upper.c", cls.dir)  # nothing of the source tree is beside it
        run("cc", "-O2", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all", str(cls.dir / "upper.c"), *cls.flags, "-o", str(cls.program))

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.dir, ignore_errors=True)


class Library(Installed):
    """What is installed."""

    def test_pkg_config(self) -> None:
        """The flags name the prefix only; nothing but libocp is linked."""
        self.assertTrue(all(str(self.prefix) in f for f in self.flags if f.startswith(("-I", "-L"))), self.flags)
        self.assertEqual([f for f in self.flags if f.startswith("-l")], ["-locp"])

    def test_every_header_alone(self) -> None:
        """Each public header compiles alone, as C and as C++; the callout library's with its own pkg-config file."""
        headers = sorted(p.relative_to(next(self.prefix.rglob("include"))) for p in self.prefix.rglob("include/**/*.h"))
        self.assertEqual({str(h) for h in headers} & {"ocp/ocp.h", "ocp/ocp_profile.h", "ocp/ocp_processor.h",
                                                      "ocp/ocp_server.h", "opes_callout.h"}, {str(h) for h in headers})
        self.assertEqual(len(headers), 5)
        callout = shlex.split(run("pkg-config", "--cflags", "opes-callout", env=self.env))
        for h in headers:
            for language, compiler in (("c", "cc"), ("c++", "c++")):
                one = self.dir / f"one.{language}"
                one.write_text(f"#include <{h}>\nint main(void) {{ return 0; }}\n", encoding="ascii")
                if language == "c++" and not shutil.which(compiler):
                    continue
                run(compiler, "-x", language, "-fsyntax-only", "-Wall", "-Werror", *(callout if "callout" in str(h) else
                                                                                      self.flags[:1]), str(one))

    def test_the_example_is_short(self) -> None:
        """Fewer than 100 lines."""
        self.assertLess(len((ROOT / "ocp" / "example" / "upper.c").read_text(encoding="utf-8").splitlines()), 100)


class Exchange(Installed):
    """The program, driven by a processor that shares no code with it and checks what it says against the rules."""

    def setUp(self) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.address = f"tcp:127.0.0.1:{port}"
        self.server = subprocess.Popen([str(self.program), str(port)], start_new_session=True)

    def tearDown(self) -> None:
        self.server.terminate()
        self.server.wait(10)

    def test_draft(self) -> None:
        """Streams, messages in parts, a message without data, many at once, a service it does not have."""
        p = Processor(self.address, "draft", UPPER)
        self.assertEqual(p.adapt(b"hello", meta=STREAM_META).forwarded(), b"HELLO")
        self.assertEqual(p.adapt(PAGE, meta=RESPONSE_META).forwarded(), HEAD + b"THE ORIGINAL")
        x = p.xaction().start(STREAM_META).finish().wait_end()
        self.assertEqual((x.ok, x.forwarded()), (True, b""))
        open_at_once = [p.xaction().start(STREAM_META).data(b"abc" * n) for n in range(1, 60)]
        for n, x in enumerate(open_at_once, 1):
            self.assertEqual(x.finish().wait_end().forwarded(), b"ABC" * n)
        x = p.xaction("urn:example:other")
        p.wait("the refusal", lambda: x.ended)
        self.assertTrue(failed(x.ended))
        self.assertIn("rid", p.ping())
        p.end()

    def test_core(self) -> None:
        """The same in RFC 4037, without a profile and with both profiles of RFC 4236."""
        p = Processor(self.address, "core", UPPER)
        self.assertEqual(p.adapt(b"hello").forwarded(), b"HELLO")
        response, request = p.http(UPPER), p.http(UPPER, "request")
        self.assertEqual(p.adapt(PAGE, sg=response).forwarded(), HEAD + b"THE ORIGINAL")
        post = [("request-header", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"), ("request-body", b"a=b"), ("request-trailer", b"T: u\r\n\r\n")]
        self.assertEqual(p.adapt(post, sg=request, meta=REQUEST_META).forwarded(), post[0][1] + b"A=B" + post[2][1])
        p.ping()
        self.assertFalse([m for m in p.received if "As-is" in m], "As-is would say that capitals are the original")
        p.end()

    def test_core_pause(self) -> None:
        """The processor asks to wait: nothing comes until it wants more, then all of it."""
        p = Processor(self.address, "core", UPPER)
        x = p.xaction().start()
        p.send("DWP", x.xid, 0)
        x.data(b"abc").data(b"def")
        p.expect("DPM", xid=x.xid)
        p.ping(x.xid)
        self.assertEqual(sum(len(a.octets) for a in x.adapted.values()), 0)
        p.send("DWM", x.xid)
        self.assertEqual(x.finish().wait_end().forwarded(), b"ABCDEF")
        p.end()

    def test_malformed(self) -> None:
        """A connection with garbage ends by itself; the next one is served."""
        for dialect, octets in (("draft", b"data-have ;\r\n"), ("core", b"DUM ;\r\n")):
            p = Processor(self.address, dialect, UPPER)
            p.ping()
            p.raw(octets)
            p.wait_closed()
            p.close()
            self.assertTrue(failed([m for m in p.received if m.name in ("connection-end", "CE")][-1]))
        self.test_draft()

    def test_aborted(self) -> None:
        """A transaction that the processor gives up, and a connection that breaks: others go on."""
        for dialect in ("draft", "core"):
            p = Processor(self.address, dialect, UPPER)
            x = p.xaction().start(STREAM_META).data(b"abc")
            x.end(error=True)
            self.assertEqual(p.adapt(b"next", meta=STREAM_META).forwarded(), b"NEXT")
            p.xaction().start(STREAM_META).data(b"abc")
            p.close()
        self.test_draft()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
