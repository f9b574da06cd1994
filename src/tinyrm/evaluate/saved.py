"""An evaluation as a folder: `evaluation.json`, `verdicts.jsonl` and `outcomes.jsonl`.

None of the rows' text is written. docs/evaluation.md lists the fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrm.errors import UserError
from tinyrm.model.checkpoint import write_json
from tinyrm.version import __version__

from .bootstrap import Statistic
from .evaluation import Evaluation, plain
from .outcomes import Outcomes
from .paired import Paired

FORMAT = 1
EVALUATION, VERDICTS, OUTCOMES = "evaluation.json", "verdicts.jsonl", "outcomes.jsonl"
_SAME_ROWS = ("benchmark", "groups", "limit", "seed")
_SAME_RUN = ("model", "path", "protocol", "use_domains", *_SAME_ROWS)


@dataclass(frozen=True, eq=False)
class Saved:
    """An evaluation that was read back: `facts` is what `evaluation.json` holds."""

    folder: Path
    facts: Mapping[str, Any]
    outcomes: Outcomes
    statistics: tuple[Statistic, ...]


def describe(evaluation: Evaluation, model: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What `evaluation.json` holds.

    Args:
        model: who was measured: at least `name`, and `sha256` where it has files.
        more: further facts, such as `cost`.
    """
    return {"format": FORMAT, "tinyrm": __version__, "model": plain(model), **evaluation.to_dict(), **plain(more)}


def against(other: Saved, pairs: Sequence[Paired]) -> dict[str, Any]:
    """What `evaluation.json` holds of a comparison with another judge."""
    return {"against": plain({"model": other.facts["model"], "scores": pairs})}


def check_folder(folder: Path, run: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Makes the folder, and refuses one that holds the results of something else; a run may replace its own.

    Args:
        run: `model`, `benchmark`, `path`, `groups`, `protocol`, `use_domains`, `limit` and `seed` of what is to come.

    Raises:
        UserError: there are other results, or it can be no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: -o names a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"{folder} cannot be made: {problem.strerror}") from None
    if overwrite or not (folder / EVALUATION).exists():
        return
    there = _facts(folder)
    if any(there.get(key) != plain(run[key]) for key in _SAME_RUN):
        raise UserError(
            f"{folder} holds the results of {there['model']['name']} on {there.get('benchmark')}, measured otherwise "
            "than now: choose another folder or --overwrite them"
        )


def check_rows(saved: Saved, run: Mapping[str, Any]) -> None:
    """Refuses to compare with what was measured on other rows, as far as that is known before they are read.

    Args:
        run: `benchmark`, `groups`, `limit` and `seed` of what is to be compared.

    Raises:
        UserError: it was.
    """
    differ = [key for key in _SAME_ROWS if saved.facts.get(key) != plain(run[key])]
    if differ:
        there, here = (", ".join(f"{key} {facts.get(key)}" for key in differ) for facts in (saved.facts, run))
        raise UserError(f"only the same rows can be compared: {saved.folder} was measured with {there}, not {here}")


def save(folder: Path, evaluation: Evaluation, facts: Mapping[str, Any]) -> None:
    """Writes the three files; `evaluation.json` comes last, so that what stands there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EVALUATION).unlink(missing_ok=True)
    evaluation.judged.save(folder / VERDICTS)
    outcomes = evaluation.outcomes
    with (folder / OUTCOMES).open("w", encoding="utf-8") as file:
        for credit, subset, unit in zip(outcomes.credit, outcomes.subsets, outcomes.units, strict=True):
            record = {"subset": subset, "unit": unit, "credit": plain(float(credit))}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    write_json(folder / EVALUATION, facts)


def load(folder: str | Path) -> Saved:
    """Reads a folder that `save` wrote.

    Raises:
        UserError: it is none, it is damaged, or a newer TinyRM wrote it.
    """
    folder = Path(folder)
    if not (folder / EVALUATION).is_file():
        raise UserError(f"no evaluation in {folder}: `tinyrm eval ... -o {folder}` writes one")
    facts = _facts(folder)
    try:
        statistics = tuple(Statistic(**statistic) for statistic in facts["statistics"])
    except (KeyError, TypeError) as problem:
        raise UserError(f"{folder / EVALUATION} is damaged: {problem}") from None
    try:
        # Not splitlines(), which also parts lines at characters that JSON leaves within a string.
        lines = (folder / OUTCOMES).read_text("utf-8").split("\n")
        records = [json.loads(line) for line in lines if line]
        credit = np.array([np.nan if r["credit"] is None else r["credit"] for r in records], dtype=np.float64)
        outcomes = Outcomes(credit, [str(r["subset"]) for r in records], [str(r["unit"]) for r in records])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UserError(f"{folder / OUTCOMES} is damaged or not there: {problem}") from None
    return Saved(folder, facts, outcomes, statistics)


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / EVALUATION
    try:
        facts = json.loads(path.read_text("utf-8"))
        written = int(facts["format"])
        str(facts["model"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None
    if written > FORMAT:
        raise UserError(f"{path} was written by a newer TinyRM (format {written}): pip install -U tinyrm")
    found: dict[str, Any] = facts
    return found
