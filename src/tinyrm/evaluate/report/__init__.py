"""Saved evaluations as one page that people read: a self-contained HTML file, and Markdown."""

from __future__ import annotations

from .pages import Report, make_report

__all__ = ["Report", "make_report"]
