"""The report itself: what is told of each group of runs, put into the templates beside this file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tinyrm.errors import UserError, require
from tinyrm.version import __version__

from . import figures, tables
from .mistakes import worst
from .runs import Group, gather, models

MARK = "tinyrm report"
"""Stands in the first line of what was written here, and may be written over."""
LONGEST = 6000
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Report:
    """The report in both forms."""

    html: str
    markdown: str

    def write(self, path: Path) -> tuple[Path, Path]:
        """Writes `path` (.html) and the Markdown beside it; an older report there is replaced.

        Raises:
            UserError: another name, or there is something that is no report.
        """
        if path.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"{path}: a report is an .html file (the Markdown comes beside it)")
        beside = path.with_suffix(".md")
        for file in (path, beside):
            if file.exists() and MARK not in file.read_text("utf-8", "replace")[:200]:
                raise UserError(f"{file} exists and is no report of tinyrm: choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html, "utf-8")
        beside.write_text(self.markdown, "utf-8")
        return path, beside


def make_report(
    folders: Sequence[str | Path],
    *,
    title: str = "Reward models compared",
    mistakes: int = 5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """A report of evaluations that `tinyrm eval -o` wrote.

    Args:
        folders: evaluations; those of the same rows are set side by side, and the first compared with each other one.
        mistakes: how many of the worst mistakes of each run are shown with their texts; 0 keeps all text out.

    Raises:
        UserError: a folder holds no evaluation, or an extra is missing.
    """
    jinja = require("jinja2", "report")
    groups = gather(folders)
    told = []
    for i, group in enumerate(groups):
        told.append(_tell(group, mistakes))
        progress(i + 1, len(groups))
    facts = {
        "title": title,
        "mark": MARK,
        "version": __version__,
        "about": tables.about(models(groups)),
        "groups": told,
        "mistakes": mistakes,
    }
    home = resources.files(__package__)
    pages = {}
    for name, escape in (("page.html", True), ("page.md", False)):
        environment = jinja.Environment(autoescape=escape, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"plain": _plain, "quoted": _quoted, "shortened": _shortened}
        pages[name] = environment.from_string((home / f"{name}.j2").read_text("utf-8")).render(facts)
    return Report(pages["page.html"], pages["page.md"])


def _tell(group: Group, mistakes: int) -> dict[str, Any]:
    drawn = (figures.reliability(group), figures.by_margin(group), figures.by_length(group))
    return {
        "title": group.title,
        "runs": [
            {"model": run.model, "footing": tables.footing(run), "mistakes": worst(run, mistakes)} for run in group.runs
        ],
        "scores": tables.scores(group),
        "sections": figures.sections(group),
        "subsets": tables.subsets(group),
        "differences": [tables.differences(one, other, pairs) for one, other, pairs in group.pairs],
        "trust": tables.trust(group),
        "curves": drawn,
        "cost": tables.cost(group),
        "cost_figure": figures.cost(group),
        "headline": tables.headline(group),
    }


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters)"


def _plain(text: str) -> str:
    """Text within a line or a cell of Markdown, where it must not be markup."""
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")


def _quoted(text: str) -> str:
    """Text as an indented block of Markdown, in which nothing has a meaning."""
    return "\n".join(f"    {line}" for line in _shortened(text).splitlines()) or "    (nothing)"
