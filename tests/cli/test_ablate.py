from __future__ import annotations

import sys

import pytest


@pytest.fixture
def recipe_file(tmp_path, base_folder, pairs_file):
    path = tmp_path / "tiny.toml"
    path.write_text(
        f"""
        output = "{tmp_path}/out"
        [data]
        root = "{tmp_path}"
        train = [{{ path = "{pairs_file(60).name}" }}]
        validation = 0.2
        [prompt]
        max_length = 96
        [model]
        base = "{base_folder("bert")}"
        [train]
        batch_size = 8
        epochs = 0.5
        evaluations = 1
        [ablation]
        seeds = 5
        ingredients = ["instruction"]
        """,
        "utf-8",
    )
    return path


def test_ablate_prints_the_table_and_goes_on(cli, recipe_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # an installation without it
    asked = ("ablate", recipe_file, "train.lr=1e-3", "--seeds", 2, "--only", "slot", "--only", "lora")
    code, out, err = cli(*asked)
    assert code == 0, err
    assert "slot first instead of slot last" in out
    assert "LoRA instead of full weights" in out
    assert "no instruction" not in out
    assert "seeds 17 to 18" in out
    assert out.endswith(f"\n{tmp_path / 'out'}\n")
    lines = [line for line in err.splitlines() if line.startswith(("recipe, seed", "slot-first, seed", "lora, seed"))]
    assert len(lines) == len((tmp_path / "out" / "runs.jsonl").read_text("utf-8").splitlines()) == 6
    assert err.count("tinyrm[report]") == 1

    again = cli(*asked)
    assert (again.code, again.out) == (0, out)
    assert ", seed 17:" not in again.err
    assert "another recipe" in mistake_after_notices(cli, "ablate", recipe_file, "train.lr=2e-3", "--seeds", 1)


def mistake_after_notices(cli, *arguments):
    """What a command says that first tells something of the data."""
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return err.splitlines()[-1].removeprefix("tinyrm: ")


def test_an_ablation_that_cannot_be_made_is_a_mistake(mistake, recipe_file, tmp_path):
    assert "no such ingredient: 'solt'; did you mean 'slot'?" in mistake("ablate", recipe_file, "--only", "solt")
    assert "unknown key `trian`" in mistake("ablate", recipe_file, "trian.lr=1")
    assert "--seeds" in mistake("ablate", recipe_file, "--seeds", 0)
    assert "no recipe at" in mistake("ablate", tmp_path / "none.toml")
    assert not (tmp_path / "out").exists()
