"""One page of tables and plots, made from the document of a run. It needs nothing but the standard library."""

from __future__ import annotations

from driverapi.bench.report.page import merged, page, write

__all__ = ["merged", "page", "write"]
