from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from tinyrm.data import load_mixture
from tinyrm.errors import UserError
from tinyrm.study.ablate import CSV, MARKDOWN, PLOT, RUNS, ablate
from tinyrm.study.ablation_runs import RECIPE

QUICK = ("train.epochs=1", "train.evaluations=2", "ablation.seeds=2")


@pytest.fixture
def without_pictures(monkeypatch):
    """An installation that lacks matplotlib."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def lines_of(folder):
    return [json.loads(line) for line in (folder / RUNS).read_text("utf-8").splitlines()]


def untimed(folder):
    """The table without what a clock decides."""
    with (folder / CSV).open(encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_an_ablation_from_recipe_to_tables(recipe, notes, tmp_path):
    pytest.importorskip("matplotlib")
    resolved = recipe(*QUICK, 'ablation.ingredients=["head", "slot"]')
    ablation = ablate(resolved, notes)
    folder = resolved.folder
    assert {path.name for path in folder.iterdir()} == {RUNS, CSV, MARKDOWN, PLOT}

    names = [RECIPE, "cls-head", "mean-head", "match-head", "slot-first"]
    lines = lines_of(folder)
    assert [(line["seed"], line["variant"]) for line in lines] == [(seed, name) for seed in (17, 18) for name in names]
    assert ablation.rows[0].name == RECIPE
    assert {row.name for row in ablation.rows} == set(names)
    held_out = load_mixture(resolved.data, 17, notes.notice).held_out
    assert ablation.pairs == len(held_out)
    for line in lines:
        logits = np.array(line["logits"])
        assert len(logits) == len(held_out)
        assert line["accuracy"] == pytest.approx(float((logits > 0).mean() + (logits == 0).mean() / 2), abs=1e-4)
        assert line["log_loss"] == pytest.approx(float(np.logaddexp(0, -logits).mean()), abs=1e-3)
        assert line["overrides"] == dict(next(row.overrides for row in ablation.rows if row.name == line["variant"]))
        assert line["seconds"] > 0
    for row in ablation.rows:
        judged = [line["accuracy"] for line in lines if line["variant"] == row.name]
        assert row.accuracy.value == pytest.approx(np.mean(judged), abs=1e-4)
        assert row.says in (folder / MARKDOWN).read_text("utf-8")
    assert (folder / PLOT).read_bytes().startswith(b"\x89PNG")
    assert notes.done["runs"] == (10, 10)
    assert sum(notice.startswith(tuple(f"{name}, seed 1" for name in names)) for notice in notes.notices) == 10


@pytest.mark.usefixtures("without_pictures")
def test_nothing_is_done_twice(recipe, notes):
    one = recipe(*QUICK, "ablation.seeds=1", 'ablation.ingredients=["slot"]')
    ablate(one, notes)
    first, table = (one.folder / RUNS).read_bytes(), untimed(one.folder)
    ablate(one, notes)
    assert ((one.folder / RUNS).read_bytes(), untimed(one.folder)) == (first, table)
    assert notes.notices.count(next(notice for notice in notes.notices if notice.startswith("recipe, seed 17"))) == 1

    more = recipe(*QUICK, 'ablation.ingredients=["slot", "instruction"]')  # a seed and an ingredient more
    ablation = ablate(more, notes)
    assert (one.folder / RUNS).read_bytes().startswith(first)
    assert len(lines_of(one.folder)) == 2 + 4
    assert [row.seeds for row in ablation.rows] == [2, 2, 2]
    assert not (one.folder / PLOT).exists()
    assert any("tinyrm[report]" in notice for notice in notes.notices)


KILLED = """
import json, os, signal, sys, torch
torch.set_num_threads(1)
from tinyrm.config import recipe_from
from tinyrm.study.ablate import ablate

class Killer:
    runs = 0
    def notice(self, text): ...
    def progress(self, label, done, total, detail=""):
        if label == "training" and done == total // 2:
            self.runs += 1
            if self.runs == 5:
                os.kill(os.getpid(), signal.SIGKILL)

ablate(recipe_from(json.loads(sys.argv[1]), "killed"), Killer())
"""


@pytest.mark.usefixtures("without_pictures")
def test_a_killed_study_goes_on_to_the_same_table(recipe, notes, tmp_path, headless_folder):
    """Killed for good in the midst of its fifth run, of the second seed; its base has a head made at random."""
    resolved = recipe(
        *QUICK, f"model.base={headless_folder}", "warmup.tokens=2000", 'ablation.ingredients=["slot", "instruction"]'
    )
    whole, broken = (replace(resolved, output=str(tmp_path / name)) for name in ("whole", "broken"))
    killed = subprocess.run([sys.executable, "-c", KILLED, json.dumps(asdict(broken))], check=False)
    assert killed.returncode == -signal.SIGKILL
    first = (broken.folder / RUNS).read_bytes()
    assert first.count(b"\n") == 4
    with (broken.folder / RUNS).open("ab") as file:  # as if killed while it wrote
        file.write(first[: len(first) // 5])

    ablate(broken, notes)
    assert (broken.folder / RUNS).read_bytes().startswith(first)
    again = [notice.split(":")[0] for notice in notes.notices if ", seed " in notice]
    assert again == ["no-instruction, seed 18", "slot-first, seed 18"]
    ablate(whole, notes)
    assert untimed(broken.folder) == untimed(whole.folder)
    assert [line["logits"] for line in lines_of(broken.folder)] == [line["logits"] for line in lines_of(whole.folder)]


@pytest.mark.usefixtures("without_pictures")
def test_a_variant_that_cannot_be_trained_is_told_and_the_others_go_on(recipe, notes):
    # Room for a template of one response, not for one of two.
    resolved = recipe(*QUICK, "prompt.max_length=68", 'ablation.ingredients=["template", "slot"]')
    ablation = ablate(resolved, notes)
    assert [row.name for row in ablation.rows] == [RECIPE, "slot-first", "pair"]
    assert "2 of 2 runs failed: max_length 68 leaves no room" in ablation.rows[-1].failed
    assert "max_length 68 leaves no room" in (resolved.folder / MARKDOWN).read_text("utf-8")
    assert [bool(line["failed"]) for line in lines_of(resolved.folder)] == [False, False, True] * 2
    ablate(resolved, notes)  # what failed is tried again, as its cause may be gone
    assert [bool(line["failed"]) for line in lines_of(resolved.folder)] == [False, False, True] * 2 + [True] * 2


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_holds_one_study(recipe, notes, pairs_file):
    quick = (*QUICK, "ablation.seeds=1", 'ablation.ingredients=["slot"]')
    folder = recipe(*quick).folder
    ablate(recipe(*quick), notes)
    before = (folder / RUNS).read_bytes()
    for other in ("train.lr=1e-3", "seed=5", "prompt.template=pair"):
        with pytest.raises(UserError, match="holds runs of another recipe"):
            ablate(recipe(*quick, other), notes)
    same = recipe(*quick, "name=renamed", "sweep.trials=5", "data.seed=17")
    assert ablate(same, notes).name == "renamed"
    assert (folder / RUNS).read_bytes() == before

    resolved = recipe(*quick)
    rows = pairs_file(rows=120).read_text("utf-8").splitlines(keepends=True)
    pairs_file().write_text("".join(rows[1:]), "utf-8")
    with pytest.raises(UserError, match="other rows"):
        ablate(resolved, notes)
    pairs_file(rows=120)
    (folder / RUNS).write_bytes(b"{}\n" + before)
    with pytest.raises(UserError, match=r"runs\.jsonl, line 1 is not a run"):
        ablate(resolved, notes)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("prompt.max_length=33", "leaves no room"),
        ("model.base=no/such/model", "no/such/model"),
        ("data.validation=0.0", "no prompt is left to validate on"),
        ('ablation.ingredients=["adaptor"]', "no such ingredient: 'adaptor'; did you mean 'adapter'"),
        ('ablation.ingredients=["orders"]', "nothing to vary in the ingredient 'orders'"),
    ],
)
def test_a_recipe_that_cannot_be_studied_is_a_mistake(recipe, notes, override, said):
    with pytest.raises(UserError) as mistake:
        ablate(recipe(*QUICK, override), notes)
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)
