"""Waiting for conditions instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Generous: only a story that fails ever waits so long.
DEADLINE = 20.0


def eventually(check: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """The first truthy answer of `check`; fails, naming `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within:.0f} s there was no: {what} (last: {answer!r})")
        time.sleep(0.02)
