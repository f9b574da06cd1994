from __future__ import annotations

import pytest
import torch

from tinyrm.config import load_recipe


@pytest.fixture
def recipe_file(recipe, tmp_path):
    from tinyrm.train.folder import write_recipe

    torch.set_num_threads(1)
    path = tmp_path / "mine.toml"
    write_recipe(path, recipe("name=mine", 'sweep.space={"train.lr"=[3e-3, 5e-3], "model.frozen"=[0, 1]}'))
    return path


def test_sweep_then_train(cli, mistake, recipe_file, tmp_path):
    best = tmp_path / "out" / "best.toml"
    swept = cli("sweep", recipe_file, "train.batch_size=16", "--trials", 2)
    assert (swept.code, swept.out) == (0, f"{best}\n")
    assert "trial 2 of 2: " in swept.err
    assert load_recipe(best).train.batch_size == 16
    assert "train.batch_size is 8, was 16" in mistake("sweep", recipe_file)

    trained = cli("train", best)
    assert (trained.code, trained.out) == (0, f"{tmp_path / 'out' / 'best'}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (('sweep.space={"train.rate"=[1]}',), "unknown key `train.rate`"),
        (("--trials", 0), "--trials"),
        (("--workers", 0), "--workers"),
        (("sweep.trials=0",), "sweep.trials = 0 must lie between"),
        (("data.train=none.jsonl",), "none.jsonl"),
    ],
)
def test_what_cannot_be_swept_is_a_mistake(mistake, recipe_file, tmp_path, arguments, said):
    assert said in mistake("sweep", recipe_file, *arguments)
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_there_are_no_plots_but_all_else(cli, recipe_file, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name, *rest)
    )
    swept = cli("sweep", recipe_file, "--trials", 1)
    assert swept.code == 0
    assert swept.err.count("pip install 'tinyrm[report]'") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"study.db", "best.toml", "trials.csv"}
    assert not list((tmp_path / "out").glob("*.png"))
