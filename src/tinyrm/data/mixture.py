"""The training mixture of a recipe: all its sources, given domains, cleaned, and split by prompt."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..config import DataConfig, DomainRule, Source
from ..errors import UserError
from ..types import Preference
from .leaks import Fingerprints, read_prompts, shipped_fingerprints
from .load import load_preferences
from .made import make
from .rows import is_hub_name, read_rows
from .split import deduplicate, split_by_prompt


@dataclass(frozen=True)
class Mixture:
    """Preferences to train on and held-out ones, and the counts (plain JSON values) of how they came about.

    facts: `read`, `bad`, `duplicates`, `leaked` ({source: {exact, near}}), `train`, `held_out`, `domains`
        ({domain: rows}) and `sources` ({source: {train, held_out, domains, longer_wins}}); `longer_wins`
        is the share of pairs whose chosen response is the longer one, equal lengths counting half.
    """

    train: list[Preference]
    held_out: list[Preference]
    facts: dict[str, Any]


def load_mixture(config: DataConfig, seed: int, notice: Callable[[str], None]) -> Mixture:
    """Loads what a recipe names; `notice` gets one line for each thing worth telling.

    Raises:
        UserError: a source cannot be read, or nothing is left of the mixture.
    """
    if not config.train:
        raise UserError("the recipe names nothing to train on: give it, as in data.train=pairs.jsonl")
    preferences, read, bad = _read(config.train, config, seed, notice)
    apart, read_apart, bad_apart = _read(config.held_out, config, seed, notice)
    (preferences, duplicates), (apart, _) = deduplicate(preferences), deduplicate(apart)
    if duplicates:
        notice(f"{duplicates:,} duplicate or contradictory pairs dropped")
    leaks = _Leaks(config)
    preferences, apart = leaks.without(preferences), leaks.without(apart)
    if not preferences:
        raise UserError("no row of the mixture is left once duplicates and benchmark prompts are dropped")
    preferences = _unlike(preferences, apart)
    train, held_out = split_by_prompt(preferences, config.validation, config.validation_rows, seed)
    held_out += apart
    train += _unlike(leaks.without(_made(train, config, seed)), held_out)
    if leaks.found:
        counts = {source: sum(kinds.values()) for source, kinds in leaks.found.items()}
        named = ", ".join(f"{source} {count:,}" for source, count in counts.items())
        notice(f"{sum(counts.values()):,} rows of benchmark prompts dropped: {named}")
    facts = {
        "read": read + read_apart,
        "bad": bad + bad_apart,
        "duplicates": duplicates,
        "leaked": {source: dict(kinds) for source, kinds in leaks.found.items()},
        "train": len(train),
        "held_out": len(held_out),
        "domains": dict(Counter(preference.domain or "none" for preference in train + held_out).most_common()),
        "sources": _facts_by_source(train, held_out),
    }
    return Mixture(train, held_out, facts)


def _read(
    sources: Iterable[Source], config: DataConfig, seed: int, notice: Callable[[str], None]
) -> tuple[list[Preference], int, int]:
    """All rows wanted of some sources, and how many were read and were bad."""
    preferences: list[Preference] = []
    domains: Counter[str] = Counter()
    unplaced: Counter[str] = Counter()
    read = bad = 0
    for source in sources:
        path = _located(source.path, config.root)
        loaded = load_preferences(
            path,
            split=source.split,
            winner=source.winner,
            soft=source.soft,
            on_bad_row=config.on_bad_row,
            notice=notice,
        )
        read, bad = read + loaded.rows, bad + len(loaded.bad)
        rows = [_placed(preference, source, config) for preference in loaded.preferences]
        beaten = _beaten(rows, source, _located(source.better, config.root)) if source.better is not None else []
        if source.keep is not None:
            rows = _kept(rows, source, _located(source.keep, config.root))
        rows += beaten
        domains.update(row.domain or "none" for row in rows)
        unplaced.update(row.source or "" for row in rows if row.domain is None)
        if config.only is not None:
            rows = [row for row in rows if row.domain == config.only]
        if source.rows is not None and source.rows < len(rows):
            drawn = random.Random(f"{seed} {source.path}").sample(range(len(rows)), source.rows)
            rows = [rows[place] for place in sorted(drawn)]
        preferences += rows
    if unplaced and (config.only is not None or config.domains):
        counts = ", ".join(f"{source} {count:,}" for source, count in unplaced.most_common())
        left_out = " and are left out" if config.only is not None else ""
        notice(f"{unplaced.total():,} rows have no domain{left_out}: {counts}")
    if domains and not preferences:
        raise UserError(f"data.only = {config.only!r} leaves no row; domains found: {', '.join(sorted(domains))}")
    return preferences, read, bad


def _kept(rows: list[Preference], source: Source, path: str) -> list[Preference]:
    """Those whose ids the rows at `path` name.

    Raises:
        UserError: it cannot be read, or names none of them.
    """
    wanted = {str(row.value["id"]) for row in read_rows(path) if row.value and "id" in row.value}
    kept = [row for row in rows if row.id in wanted]
    if rows and not kept:
        raise UserError(f"{path} (keep) names no row of {source.path}: it needs a column `id` with ids of these rows")
    return kept


def _beaten(rows: list[Preference], source: Source, path: str) -> list[Preference]:
    """Both responses of a row against the one that the rows at `path` give for its id, unless it is one of the two.

    Raises:
        UserError: it cannot be read, or has no response for any of them.
    """
    values = [row.value for row in read_rows(path) if row.value and isinstance(row.value.get("response"), str)]
    best = {str(value["id"]): value["response"] for value in values if "id" in value and value["response"].strip()}
    pairs = [
        Preference(row.prompt, best[row.id], response, domain=row.domain, source=f"{row.source}-better", id=row.id)
        for row in rows
        if row.id in best and best[row.id] not in (row.chosen, row.rejected)
        for response in (row.chosen, row.rejected)
    ]
    if rows and not pairs:
        raise UserError(
            f"{path} (better) has nothing for {source.path}: it needs columns `id`, of these rows, and `response`"
        )
    return pairs


def _located(path: str, root: str) -> str:
    """Where a source is: below the root, or, where nothing is there, in the working folder or on the Hub."""
    below = Path(root) / path
    elsewhere = path == "-" or (not below.exists() and (is_hub_name(path) or Path(path).exists()))
    return path if elsewhere else str(below)


def _placed(preference: Preference, source: Source, config: DataConfig) -> Preference:
    """The preference with a source, and with a domain if there is any way to know it."""
    name = preference.source or Path(source.path).name.removesuffix(".gz").rpartition(".")[0] or Path(source.path).name
    preference = replace(preference, source=name, domain=source.domain or preference.domain)
    if preference.domain is not None or not config.domains:
        return preference
    return replace(preference, domain=_domain(preference, config.domains))


def _domain(preference: Preference, rules: Iterable[DomainRule]) -> str | None:
    values = {
        "source": (preference.source or "").casefold(),
        "subset": (preference.subset or "").casefold(),
        "prompt": next((turn.content for turn in reversed(preference.prompt) if turn.role == "user"), "").casefold(),
    }
    for rule in rules:
        if fnmatchcase(values["source"], rule.source.casefold()) and any(
            fnmatchcase(values[rule.column], pattern.casefold()) for pattern in rule.matches
        ):
            return rule.domain
    return None


def _made(train: list[Preference], config: DataConfig, seed: int) -> list[Preference]:
    return [row for row in make(train, config.made, seed) if config.only in (None, row.domain)]


def _unlike(preferences: list[Preference], apart: list[Preference]) -> list[Preference]:
    """Those whose prompts neither stand among other rows' nor share a run of words with them."""
    if not preferences or not apart:
        return preferences
    alike = Fingerprints.of([row.prompt for row in apart]).finds([row.prompt for row in preferences])
    return [row for row, found in zip(preferences, alike, strict=True) if not found]


class _Leaks:
    """The leak check of a recipe, and what it found: {source: {exact, near}}."""

    def __init__(self, config: DataConfig) -> None:
        self.found: dict[str, Counter[str]] = defaultdict(Counter)
        self._prints = _fingerprints(config) if config.leak_check else None

    def without(self, preferences: list[Preference]) -> list[Preference]:
        if self._prints is None:
            return preferences
        kept = []
        for preference, found in zip(preferences, self._prints.finds([p.prompt for p in preferences]), strict=True):
            if found:
                self.found[preference.source or ""][found] += 1
            else:
                kept.append(preference)
        return kept


def _fingerprints(config: DataConfig) -> Fingerprints:
    prints = shipped_fingerprints()
    for path in config.leak_files:
        prompts = list(read_prompts(_located(path, config.root)))
        if not prompts:
            raise UserError(f"the file {path} of data.leak_files holds no prompt")
        prints |= Fingerprints.of(prompts)
    return prints


def _facts_by_source(train: list[Preference], held_out: list[Preference]) -> dict[str, dict[str, Any]]:
    sides: dict[str, tuple[list[Preference], list[Preference]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((train, held_out)):
        for preference in rows:
            sides[preference.source or ""][side].append(preference)
    return {
        source: {
            "train": len(trained),
            "held_out": len(held),
            "domains": dict(Counter(preference.domain or "none" for preference in trained + held)),
            "longer_wins": _longer_wins(trained + held),
        }
        for source, (trained, held) in sides.items()
    }


def _longer_wins(preferences: Iterable[Preference]) -> float | None:
    leads = [len(p.chosen) - len(p.rejected) for p in preferences if not p.tie]
    return round(sum((lead > 0) + (lead == 0) / 2 for lead in leads) / len(leads), 4) if leads else None
