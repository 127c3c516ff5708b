# SPDX-License-Identifier: BSD-3-Clause
"""What the documents demand of the other side, checked message by message."""

from __future__ import annotations

from .wire import Message


class RuleBroken(AssertionError):
    """The other side broke a rule; rule is its number in the documents."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"rule {rule}: {text}")
        self.rule, self.text = rule, text


class Watch:
    """Follows both sides of a connection."""

    def __init__(self, role: str, dialect: str) -> None:
        self.role, self.dialect = role, dialect

    def sent(self, m: Message) -> None:
        """Note what this side sent."""

    def received(self, m: Message) -> None:
        """Check what the other side sent."""
