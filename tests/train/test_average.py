from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import tinyrm
from tinyrm.config import load_recipe
from tinyrm.data import load_mixture
from tinyrm.errors import UserError
from tinyrm.model.checkpoint import CLASSIFIER, METRICS, WEIGHTS
from tinyrm.train.average import average
from tinyrm.train.folder import RECIPE
from tinyrm.train.run import train


@pytest.fixture
def runs(recipe, notes, tmp_path):
    """`runs(*overrides)`: two finished runs that differ in their seed."""

    def make(*overrides):
        usual = ("data.seed=17", "train.epochs=1", "train.evaluations=1", "model.head=mean", *overrides)
        return [
            train(recipe(*usual, f"output={tmp_path / str(seed)}", f"seed={seed}"), notes).folder for seed in (1, 2)
        ]

    return make


def test_the_mean_of_two_runs_is_judged_and_calibrated_on_what_they_held_out(runs, notes, tmp_path):
    one, two = runs()
    found = average([one, two], tmp_path / "mean", notes)
    for file in (WEIGHTS, CLASSIFIER):
        parts = [load_file(run / file) for run in (one, two, tmp_path / "mean")]
        assert any(not np.array_equal(parts[0][name], parts[1][name]) for name in parts[0])
        for name, weight in parts[2].items():
            np.testing.assert_allclose(weight, (parts[0][name] + parts[1][name]) / 2, atol=1e-6)
    recipe = load_recipe(tmp_path / "mean" / RECIPE)
    held_out = load_mixture(recipe.data, recipe.data_seed, notes.notice).held_out
    model = tinyrm.load(tmp_path / "mean")
    logits = np.asarray([model.compare(p.prompt, p.chosen, p.rejected).logit for p in held_out])
    assert float((logits > 0).mean()) == found["accuracy"]
    metrics = json.loads((tmp_path / "mean" / METRICS).read_text("utf-8"))
    assert metrics["average_of"] == [str(one), str(two)]
    assert metrics["validation"]["accuracy"] == found["accuracy"]
    assert metrics["data"]["held_out"] == len(held_out)


def test_the_mean_of_a_run_with_itself_is_that_run(runs, notes, tmp_path):
    one, _ = runs()
    shutil.copytree(one, tmp_path / "again")
    average([one, tmp_path / "again"], tmp_path / "mean", notes)
    before, after = (load_file(folder / WEIGHTS) for folder in (one, tmp_path / "mean"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_runs_that_do_not_fit_together_are_refused(runs, recipe, notes, tmp_path):
    one, two = runs()
    cloze = train(recipe("data.seed=17", "train.evaluations=1", f"output={tmp_path / 'cloze'}"), notes).folder
    other = train(recipe("data.seed=5", "model.head=mean", "train.evaluations=1", f"output={tmp_path / 'o'}"), notes)
    for odd, key in ((cloze, "model.head"), (other.folder, "data.seed")):
        with pytest.raises(UserError, match=f"differs from .* in .*{key}"):
            average([one, odd], tmp_path / "mean", notes)
    unset = [  # what they held out follows from their own seeds
        train(
            recipe("model.head=mean", "train.epochs=1", "train.evaluations=1", f"output={tmp_path / name}", seed), notes
        )
        for name, seed in (("u1", "seed=1"), ("u2", "seed=2"))
    ]
    with pytest.raises(UserError, match=r"in data\.seed: only runs of one recipe"):
        average([outcome.folder for outcome in unset], tmp_path / "mean", notes)
    with pytest.raises(UserError, match="two runs or more"):
        average([one], tmp_path / "mean", notes)
    with pytest.raises(UserError, match="is not a TinyRM checkpoint"):
        average([one, tmp_path], tmp_path / "mean", notes)
    assert not (tmp_path / "mean").exists()
    with pytest.raises(UserError, match="is there already"):
        average([one, two], two, notes)
    with (tmp_path / "pairs.jsonl").open("a") as more:
        more.write(json.dumps({"prompt": "new?", "chosen": "yes", "rejected": "no", "domain": "chat"}) + "\n")
    with pytest.raises(UserError, match="no longer those of"):
        average([one, two], tmp_path / "mean", notes)
