# SPDX-License-Identifier: BSD-3-Clause
"""Suites in DPDK's DTS form that also run without DTS.

Inside a DTS checkout the classes and functions are DTS's own (framework.test_suite, api.test). Without one, the few
that our suites use are here, with the same names and meaning: a suite is a class Test<Pascal> in
tests/TestSuite_<snake>.py, its cases are methods marked @func_test whose docstring has Steps and Verify.
"""

from __future__ import annotations

from typing import Any, Callable

try:  # in DPDK's DTS
    from api.test import skip, verify  # type: ignore[import-not-found]
    from framework.test_suite import TestSuite, func_test  # type: ignore[import-not-found]
except ImportError:

    class VerifyError(AssertionError):
        """A verification did not hold."""

    class SkipTest(Exception):
        """The case cannot run here; the text is the reason."""

    def verify(condition: Any, description: str) -> None:
        """Fail the case with this description unless condition is true."""
        if not condition:
            raise VerifyError(description)

    def skip(reason: str) -> None:
        """Skip the case."""
        raise SkipTest(reason)

    def func_test(method: Callable) -> Callable:
        """Mark a method as a functional test case."""
        method.is_func_test = True
        return method

    class TestSuite:
        """The hooks that DTS calls."""

        def set_up_suite(self) -> None:
            """Before the first case."""

        def tear_down_suite(self) -> None:
            """After the last case."""

        def set_up_test_case(self) -> None:
            """Before each case."""

        def tear_down_test_case(self) -> None:
            """After each case."""


__all__ = ["TestSuite", "func_test", "verify", "skip"]
