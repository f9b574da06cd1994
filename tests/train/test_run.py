from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import tinyrm
from tinyrm.config import load_recipe
from tinyrm.data import load_mixture
from tinyrm.errors import UserError
from tinyrm.infer import RewardModel
from tinyrm.model.checkpoint import CARD, CONFIG, MANIFEST, METRICS, TOKENIZER, WEIGHTS
from tinyrm.train.folder import LOG, RECIPE
from tinyrm.train.run import train


def held_out_logits(judge: RewardModel, held_out) -> np.ndarray:
    return np.asarray([judge.compare(p.prompt, p.chosen, p.rejected).logit for p in held_out])


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_makes_a_whole_checkpoint_of_the_best_step(recipe, notes, kind):
    resolved = recipe(f"prompt.template={kind}", "train.epochs=6", "train.evaluations=12")
    folder = train(resolved, notes).folder
    assert folder == resolved.folder
    assert {path.name for path in folder.iterdir()} >= {
        CARD,
        CONFIG,
        LOG,
        MANIFEST,
        METRICS,
        RECIPE,
        TOKENIZER,
        WEIGHTS,
    }
    assert not list(folder.glob("*.partial"))
    assert load_recipe(folder / RECIPE) == resolved

    mixture = load_mixture(resolved.data, resolved.seed, notes.notice)
    metrics = json.loads((folder / METRICS).read_text("utf-8"))
    trained, history = metrics["training"], metrics["history"]
    log = [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]
    assert metrics["name"] == "tiny"
    assert metrics["data"]["train"] == len(mixture.train)
    assert metrics["data"]["held_out"] == len(mixture.held_out) == metrics["validation"]["pairs"]
    assert trained["steps"] == len(log) == 6 * -(-len(mixture.train) // 8) == history[-1]["step"]
    assert trained["preferences"] == 6 * len(mixture.train)
    assert trained["parameters"] == trained["learning"] == sum(w.size for w in load_file(folder / WEIGHTS).values())
    assert len(history) == 12
    assert notes.done["training"] == (trained["steps"], trained["steps"])

    best = max(history, key=lambda entry: (entry["score"], -entry["log_loss"]))
    assert best["score"] > 0.95
    if kind == "single":  # solved, to four digits of the loss, well before the end: the best is not the last
        assert best["step"] < trained["steps"]
    assert list(metrics["validation"].pop("calibration")) == ["all"]
    assert metrics["validation"] == {key: value for key, value in best.items() if key != "loss"}
    logits = held_out_logits(tinyrm.load(folder), mixture.held_out)
    assert float((logits > 0).mean()) == best["accuracy"]
    assert float(np.logaddexp(0, -logits).mean()) == pytest.approx(best["log_loss"], abs=1e-3)
    assert f"{100 * best['accuracy']:.1f}" in (folder / CARD).read_text("utf-8")


def test_a_finished_model_is_kept_unless_told_otherwise(recipe, notes):
    quick = recipe("train.epochs=0.1", "train.evaluations=1")
    folder = train(quick, notes).folder
    before = (folder / WEIGHTS).read_bytes()
    with pytest.raises(UserError, match="holds a finished model"):
        train(recipe("train.epochs=0.2", "train.evaluations=1"), notes)
    assert (folder / WEIGHTS).read_bytes() == before
    train(recipe("train.epochs=0.2", "train.evaluations=1"), notes, overwrite=True)
    assert (folder / WEIGHTS).read_bytes() != before
    assert (
        len((folder / LOG).read_text("utf-8").splitlines())
        == json.loads((folder / METRICS).read_text())["training"]["steps"]
    )


def test_the_same_recipe_gives_the_same_weights(recipe, notes, tmp_path):
    quick = ("train.epochs=0.5", "train.evaluations=1")
    one, two, other = (
        train(recipe(*quick, f"output={tmp_path / name}", *more), notes).folder
        for name, more in (("one", ()), ("two", ()), ("other", ("seed=5",)))
    )
    assert (one / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes() != (other / WEIGHTS).read_bytes()


@pytest.mark.parametrize("head", ["cloze", "mean", "match"])
def test_training_goes_on_from_a_checkpoint_with_its_head(recipe, notes, tmp_path, head):
    usual = (f"model.head={head}", "train.evaluations=1")
    one = train(recipe(*usual, "train.epochs=3", f"output={tmp_path / 'one'}"), notes)
    still = train(
        recipe(
            *usual, "train.lr=1e-12", "train.weight_decay=0", f"model.base={one.folder}", f"output={tmp_path / 'two'}"
        ),
        notes,
    )
    assert one.best["log_loss"] < 0.5
    np.testing.assert_allclose(still.logits, one.logits, atol=1e-4)
    if head == "mean":
        other = recipe("model.head=cls", f"model.base={one.folder}", f"output={tmp_path / 'three'}")
        assert train(other, notes).best["pairs"] == one.best["pairs"]


def test_a_fresh_head_is_warmed_up(recipe, notes, headless_folder):
    folder = train(
        recipe(
            f"model.base={headless_folder}",
            "model.frozen=2",  # so that nothing below the head moves but in the warm-up
            "warmup.tokens=20000",
            "warmup.lr=5e-3",
            "train.evaluations=1",
        ),
        notes,
    ).folder
    assert notes.done["warming up the head"][0] == notes.done["warming up the head"][1] > 0
    assert json.loads((folder / METRICS).read_text("utf-8"))["warmup_loss"] > 0
    before, warm = load_file(headless_folder / WEIGHTS), load_file(folder / WEIGHTS)
    assert not np.array_equal(before["embeddings.LayerNorm.weight"], warm["bert.embeddings.LayerNorm.weight"])
    assert tinyrm.load(folder).compare("question a?", "yes", "no").better in ("A", "B")


def test_a_head_that_came_with_the_base_is_not_warmed_up(recipe, notes):
    folder = train(
        recipe("warmup.tokens=20000", "model.head_scale=0.1", "train.epochs=0.1", "train.evaluations=1"), notes
    ).folder
    assert "warming up the head" not in notes.done
    assert "warmup_loss" not in json.loads((folder / METRICS).read_text("utf-8"))


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_an_adapter_is_merged_into_the_checkpoint(recipe, notes, base_folder, kind):
    resolved = recipe(
        f"model.adapter.kind={kind}",
        "model.adapter.rank=8",
        "model.frozen=1",
        "train.epochs=6",
        "train.lr=1e-2",
        "train.evaluations=1",
    )
    folder = train(resolved, notes).folder
    metrics = json.loads((folder / METRICS).read_text("utf-8"))
    assert metrics["training"]["learning"] < metrics["training"]["parameters"] / 3
    assert metrics["validation"]["accuracy"] > 0.9
    trained, base = (load_file(path / WEIGHTS) for path in (folder, base_folder("bert")))
    assert trained.keys() == base.keys()
    assert all(np.array_equal(trained[name], base[name]) for name in base if "layer.0." in name or "embeddings" in name)
    held_out = load_mixture(resolved.data, resolved.seed, notes.notice).held_out
    logits = held_out_logits(tinyrm.load(folder), held_out)
    assert float((logits > 0).mean()) == metrics["validation"]["accuracy"]


def test_a_row_of_a_benchmark_is_left_out_unasked(recipe, notes, tmp_path):
    (tmp_path / "benchmark.jsonl").write_text('{"prompt": "Question  b a ?"}\n', "utf-8")
    resolved = recipe('data.leak_files=["benchmark.jsonl"]', "train.epochs=0.1", "train.evaluations=1")
    facts = json.loads((train(resolved, notes).folder / METRICS).read_text("utf-8"))["data"]
    assert facts["leaked"] == {"pairs": {"exact": 1}}
    assert facts["train"] + facts["held_out"] == 119
    assert any("benchmark prompts dropped" in notice for notice in notes.notices)


def test_a_head_that_needs_another_template_is_refused_before_data_is_read(recipe, notes):
    with pytest.raises(UserError, match=r"model.head = match .* needs prompt.template = single"):
        train(recipe("prompt.template=pair", "model.head=match", "data.train=none.jsonl"), notes)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.base=no/such/model", "no/such/model"),
        ("model.frozen=3", r"model.frozen = 3, but the model has 2 layers"),
        ("prompt.max_length=600", r"prompt.max_length = 600, but .* reads at most 512 tokens"),
        ('data.train=[{path="none.jsonl"}]', r"none\.jsonl"),
        ("data.validation=0.0", "no prompt is left to validate on"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(recipe, notes, override, message):
    resolved = recipe(override)
    with pytest.raises(UserError, match=message) as mistake:
        train(resolved, notes)
    assert "\n" not in str(mistake.value)
    assert not (resolved.folder / MANIFEST).exists()


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs(recipe, notes, base_folder, headless_folder, tmp_path, path):
    real = load_recipe(path)
    family = "modernbert" if any(name in real.model.base.lower() for name in ("modernbert", "ettin")) else "bert"
    base = headless_folder if real.warmup.tokens else base_folder(family)
    tiny = [
        f"model.base={base}",
        f"model.frozen={min(real.model.frozen, 1)}",
        f"warmup.frozen={min(real.warmup.frozen, 2)}",
        f"warmup.tokens={min(real.warmup.tokens, 4000)}",
        "data.leak_files=[]",
        "data.held_out=[]",
        f"cache.folder={tmp_path / 'cache'}",
        f"train.lr={real.train.lr}",
        "train.epochs=0.3",
        "train.evaluations=1",
    ]
    resolved = recipe(*tiny, path=path)
    folder = train(resolved, notes).folder
    facts = json.loads((folder / METRICS).read_text("utf-8"))
    assert facts["name"] == real.name
    assert facts["training"]["steps"] == len((folder / LOG).read_text("utf-8").splitlines()) > 0
    judge = tinyrm.load(folder)
    assert list(judge.manifest.templates) == [real.prompt.template]
    assert judge.compare("question a?", "yes", "no").better in ("A", "B")
