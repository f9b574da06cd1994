"""The sheets that were written for the default model: readable to the last row, and no benchmark's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyrm.data import load_preferences
from tinyrm.data.leaks import shipped_fingerprints
from tinyrm.data.rows import read_rows
from tinyrm.data.split import prompt_key

SHEETS = Path(__file__).parent.parent / "recipes" / "tinyrm-mini"
KINDS = {path.name.removesuffix("-check.jsonl.gz") for path in SHEETS.glob("*-check.jsonl.gz")}
ENDS = (".jsonl.gz", "-check.jsonl.gz")


def rows(name):
    return load_preferences(SHEETS / f"{name}.jsonl.gz", on_bad_row="refuse").preferences


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_sheets_are_whole_held_out_by_prompt_and_of_no_benchmark(kind):
    trained, held_out = rows(kind), rows(f"{kind}-check")
    assert len(trained) > 5 * len(held_out) > 0
    assert {row.domain for row in trained + held_out} <= {"chat", "safety", "reasoning"}
    assert not {prompt_key(row.prompt) for row in trained} & {prompt_key(row.prompt) for row in held_out}
    found = shipped_fingerprints().finds([row.prompt for row in trained + held_out])
    assert not any(found)


def test_every_other_file_is_of_better_responses_one_for_an_id():
    others = {path.name for path in SHEETS.glob("*.jsonl.gz")} - {f"{kind}{end}" for kind in KINDS for end in ENDS}
    assert others == {"better.jsonl.gz"}
    better = [row.value for row in read_rows(str(SHEETS / "better.jsonl.gz"))]
    assert len({row["id"] for row in better}) == len(better) > 1000
    assert all(row["response"].strip() for row in better)
