from __future__ import annotations

import json

import pytest

import tinyrm


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
        evaluations = 2
        """,
        "utf-8",
    )
    return path


def test_train_then_export_then_judge(cli, mistake, recipe_file, tmp_path):
    trained = cli("train", recipe_file, "train.lr=1e-3", "name=mine", f"output={tmp_path}/{{name}}")
    folder, exported = tmp_path / "mine", tmp_path / "onnx"
    assert (trained.code, trained.out) == (0, f"{folder}\n")
    assert "preferences to train on" in trained.err
    assert "best at step" in trained.err
    assert json.loads((folder / "metrics.json").read_text("utf-8"))["name"] == "mine"

    done = cli("export", folder, "-o", exported, "--weights", "float32")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{exported}: ")

    asked = ("compare", "--prompt", "question a a?", "--a", "yes", "--b", "no", "--json", "--model")
    first, second = cli(*asked, folder).json, cli(*asked, exported).json
    assert first["model"] == second["model"] == "mine"
    assert first["p_a"] == pytest.approx(second["p_a"], abs=1e-5)
    assert first == {"model": "mine", **tinyrm.load(folder).compare("question a a?", "yes", "no").to_dict()}

    assert "finished model" in mistake("train", recipe_file, "name=mine", f"output={tmp_path}/{{name}}")
    assert "is there already" in mistake("export", folder, "-o", exported)
    assert "holds no model.safetensors" in mistake("export", exported, "-o", tmp_path / "again")


def test_runs_of_two_seeds_are_averaged(cli, recipe_file, tmp_path):
    for seed in (1, 2):
        assert cli("train", recipe_file, "data.seed=17", f"seed={seed}", f"output={tmp_path / str(seed)}").code == 0
    done = cli("average", tmp_path / "1", tmp_path / "2", "-o", tmp_path / "mean")
    assert (done.code, done.out) == (0, f"{tmp_path / 'mean'}\n")
    assert "held-out accuracy" in done.err
    assert json.loads((tmp_path / "mean" / "metrics.json").read_text("utf-8"))["average_of"]
    assert "mean of those of 2 runs" in (tmp_path / "mean" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.learning_rate=1", "unknown key `train.learning_rate`"),
        ("trian.lr=1", "unknown key `trian`; did you mean 'train'?"),
        ("train.lr=fast", "train.lr"),
        ("train.lr=-1", "train.lr = -1 must lie between"),
        ("train.lr", "an override is key=value"),
        ("prompt.template=triple", "prompt.template"),
        ("model.base=no/such/model", "no/such/model"),
    ],
)
def test_a_recipe_that_does_not_fit_is_a_mistake(mistake, recipe_file, tmp_path, override, said):
    assert said in mistake("train", recipe_file, override)
    assert not (tmp_path / "out" / "tinyrm.json").exists()


def test_a_recipe_that_cannot_be_read_is_a_mistake(mistake, tmp_path):
    broken, binary, folder = tmp_path / "broken.toml", tmp_path / "binary.toml", tmp_path / "folder.toml"
    broken.write_text("[train\nlr = 1", "utf-8")
    binary.write_bytes(b"\xff\xfe\x00")
    folder.mkdir()
    for path in (broken, binary, folder):
        assert f"{path} is not a readable TOML recipe" in mistake("train", path)
    assert "no recipe at" in mistake("train", tmp_path / "none.toml")


def test_nothing_to_train_on(mistake, recipe_file):
    assert "names nothing to train on" in mistake("train", recipe_file, "data.train=[]")
    assert "none.jsonl" in mistake("train", recipe_file, 'data.train=[{path="none.jsonl"}]')
