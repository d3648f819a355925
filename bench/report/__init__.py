"""Runs as one self-contained web page."""

from bench.report.page import write_report

__all__ = ["write_report"]
