"""Saved evaluations side by side: which models, on which benchmarks, and how they compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrm.errors import UserError

from ..paired import Paired, compare
from ..saved import Saved, load


@dataclass(frozen=True, eq=False)
class Run:
    """One saved evaluation, and what its model is called on the page."""

    model: str
    saved: Saved

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.saved.facts


@dataclass(frozen=True, eq=False)
class Group:
    """The runs that were measured in one way on the same rows."""

    title: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Mapping[str, Any]:
        return self.runs[0].facts

    @property
    def pairs(self) -> list[tuple[Run, Run, tuple[Paired, ...]]]:
        """The first run against each of the others."""
        one = self.runs[0]
        statistics = one.saved.statistics
        return [
            (one, other, compare(one.saved.outcomes, other.saved.outcomes, statistics, one.facts["seed"]))
            for other in self.runs[1:]
        ]


def gather(folders: Sequence[str | Path]) -> tuple[Group, ...]:
    """Reads evaluations; those of the same rows come together, in the order given.

    Raises:
        UserError: a folder holds no evaluation, or is given twice.
    """
    every = [load(folder) for folder in folders]
    places = [saved.folder.resolve() for saved in every]
    if twice := next((saved.folder for saved, at in zip(every, places, strict=True) if places.count(at) > 1), None):
        raise UserError(f"{twice} is given twice")
    names = _names(every)
    groups: list[list[Run]] = []
    for name, saved in zip(names, every, strict=True):
        run = Run(name, saved)
        known = next((group for group in groups if _alike(group[0].saved, saved)), None)
        if known is None:
            groups.append([run])
        else:
            known.append(run)
    titles = [_title(group[0].facts) for group in groups]
    for i, title in enumerate(titles):
        if titles.count(title) > 1:
            titles[i] = f"{title}, {groups[i][0].facts['path']}"
    return tuple(Group(title, tuple(group)) for title, group in zip(titles, groups, strict=True))


def models(groups: Sequence[Group]) -> dict[str, Mapping[str, Any]]:
    """Facts of every model, by its name on the page."""
    return {run.model: run.facts["model"] for group in groups for run in group.runs}


def _alike(one: Saved, other: Saved) -> bool:
    keys = ("benchmark", "use_domains", "seed")
    return all(one.facts[key] == other.facts[key] for key in keys) and one.outcomes.alike(other.outcomes)


def _names(every: Sequence[Saved]) -> list[str]:
    """What each model is called; several of one name are told apart by hash, back-end and protocol,
    or else by their folder.
    """
    names = [str(saved.facts["model"].get("name", "model")) for saved in every]
    hashes = [str(saved.facts["model"].get("sha256") or "")[:8] for saved in every]
    backends = [str(saved.facts["model"].get("backend") or "") for saved in every]
    protocols = [str(saved.facts["protocol"] or "") for saved in every]
    shown = []
    for i, name in enumerate(names):
        namesakes = [j for j, other in enumerate(names) if other == name]
        marks = [
            marks[i] for marks in (hashes, backends, protocols) if marks[i] and len({marks[j] for j in namesakes}) > 1
        ]
        shown.append(f"{name} ({', '.join(marks)})" if marks else name)
    rows = [(name, saved.facts["benchmark"], saved.outcomes.units) for name, saved in zip(shown, every, strict=True)]
    return [
        f"{name}, {saved.folder.name}" if rows.count(row) > 1 else name
        for name, saved, row in zip(shown, every, rows, strict=True)
    ]


def _title(facts: Mapping[str, Any]) -> str:
    parts = [str(facts["benchmark"])]
    if facts["use_domains"]:
        parts.append("domains told")
    if facts["rows"]["judged"] < facts["rows"]["available"]:
        parts.append(f"a sample of {facts['rows']['judged']:,} rows")
    return ", ".join(parts)
