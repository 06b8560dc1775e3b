"""For all tests: what they inherit from whoever started them does not decide how they end."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell that starts something in its background has it ignore Ctrl-C, and so would all programs that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
