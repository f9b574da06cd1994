from __future__ import annotations

import contextlib
from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from tinyrm.config import Recipe, recipe_from
from tinyrm.errors import UserError
from tinyrm.study.ingredients import value_of, with_values
from tinyrm.study.space import (
    ALPHA,
    KIND,
    RANK,
    UNSET,
    default_space,
    recipe_with,
    short_names,
    shortened,
    space_of,
    suggest,
)

CHOICES = {
    "train.lr": st.floats(1e-9, 1.0),
    "train.batch_size": st.integers(1, 512),
    "train.betas": st.lists(st.floats(0, 0.999), min_size=2, max_size=2),
    "model.frozen": st.integers(0, 20),
    "model.head": st.sampled_from(["cloze", "cls", "mean"]),
    "prompt.instruction": st.text() | st.just(UNSET),
    KIND: st.sampled_from(["none", "lora", "dora"]),
    RANK: st.integers(1, 64),
    ALPHA: st.floats(0.5, 64) | st.sampled_from(["1x", "2x", "0.5x", UNSET]),
}
BOUNDS = {"train.lr": (1e-9, 1.0), "train.weight_decay": (0.0, 1.0), "train.batch_size": (1, 512)}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["2x", UNSET]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["low", "high", "log", "step", "lr", "rank", "other"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def spaces(draw):
    """A space as TOML holds it, whose every value fits."""
    keys = draw(st.lists(st.sampled_from([*CHOICES, *BOUNDS]), min_size=1, max_size=5, unique=True))
    written = {}
    for key in keys:
        if key in BOUNDS and (key not in CHOICES or draw(st.booleans())):
            number = st.integers if isinstance(BOUNDS[key][0], int) else st.floats
            low, high = sorted(draw(st.tuples(*[number(*BOUNDS[key])] * 2)))
            written[key] = {"low": low, "high": high, "log": low > 0 and draw(st.booleans())}
        else:
            written[key] = draw(st.lists(CHOICES[key], min_size=1, max_size=4))
    return written


def nested(written):
    """What TOML makes of keys that are not in quotes."""
    tables: dict = {}
    for key, value in written.items():
        *parents, last = key.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return tables


def searching(space, kind="dora"):
    return recipe_from({"name": "x", "sweep": {"space": space}, "model": {"adapter": {"kind": kind}}}, "x")


def asked(recipe, seed=0):
    """The recipe of a trial drawn at random, and the trial."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return suggest(trial, space_of(recipe), recipe), trial


@pytest.fixture(autouse=True, scope="module")
def quiet():
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)


@settings(max_examples=25)
@given(spaces(), st.integers(0, 99))
def test_a_trial_takes_values_of_the_space_and_leaves_the_rest_alone(written, seed):
    recipe = searching(written)
    by_key = {axis.key: axis for axis in space_of(recipe)}
    assert by_key == {axis.key: axis for axis in space_of(searching(nested(written)))}
    tried, trial = asked(recipe, seed)
    for key, value in trial.params.items():
        found = value_of(tried, key)
        if isinstance(written[key], dict):
            assert written[key]["low"] <= found <= written[key]["high"]
            assert type(found) is type(written[key]["low"])
        elif value == UNSET:
            assert found is None
        elif str(value).endswith("x") and key == ALPHA:
            assert found == float(value[:-1]) * tried.model.adapter.rank
        else:
            assert found in [tuple(v) if isinstance(v, list) else v for v in written[key]]
    unasked = {key: value_of(recipe, key) for key in [*CHOICES, *BOUNDS] if key not in trial.params}
    assert with_values(tried, {key: value_of(recipe, key) for key in trial.params}) == recipe
    assert {key: value_of(tried, key) for key in unasked} == unasked
    assert suggest(FixedTrial(trial.params), space_of(recipe), recipe) == tried


@given(
    st.dictionaries(
        st.sampled_from([*CHOICES, "train", "data", "lr", "train.lr.x", "a b", ""]), JUNK, min_size=1, max_size=3
    )
)
def test_a_space_is_either_understood_or_refused_in_a_sentence(written):
    recipe = searching(written)
    with contextlib.suppress(UserError):
        assert {axis.key for axis in space_of(recipe)} <= set(CHOICES)


@settings(max_examples=20)
@given(st.integers(0, 30), st.sampled_from(["none", "lora"]))
def test_rank_and_alpha_are_asked_for_only_with_an_adapter(seed, kind):
    recipe = searching({ALPHA: ["1x", "2x"], RANK: [4, 8], KIND: ["none", "lora"], "train.lr": [1e-3]}, kind)
    tried, trial = asked(recipe, seed)
    adapted = tried.model.adapter.kind != "none"
    assert (RANK in trial.params) == (ALPHA in trial.params) == adapted
    fixed = searching({RANK: [4, 8]}, "lora")
    assert asked(fixed, seed)[1].params.keys() == {RANK}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"train.lrr": [1]}, "unknown key `train.lrr`; did you mean 'lr'?"),
        ({"trian": {"lr": [1e-3]}}, "unknown key `trian.lr`; did you mean 'train'?"),
        ({"data.validation": [0.1, 0.2]}, "`data.validation` cannot be searched"),
        ({"seed": [1, 2]}, "`seed` cannot be searched"),
        ({"model.adapter": ["dora"]}, "`model.adapter` cannot be searched"),
        ({"train.lr": 1e-3}, "`train.lr` is a list of choices or a range"),
        ({"train.lr": []}, "`train.lr` is a list of choices or a range"),
        ({"train.lr": {"low": 1e-5}}, "`train.lr` is a list of choices or a range"),
        ({"train.lr": {"low": 1e-5, "hihg": 1e-3, "high": 1e-2}}, "did you mean 'high'?"),
        ({"train.lr": {"low": 1e-3, "high": 1e-5}}, "the range of `train.lr` cannot be"),
        ({"train.lr": {"low": 0.0, "high": 1e-5}}, "train.lr = 0 must lie between"),
        ({"train.weight_decay": {"low": 0.0, "high": 1e-5, "log": True}}, "the range of `train.weight_decay` cannot"),
        ({"train.lr": {"low": 1e-5, "high": 1e-3, "log": "yes"}}, "log is true or false"),
        ({"train.batch_size": {"low": 1, "high": 9, "step": 0.5}}, "step is a number like low"),
        ({"train.lr": [1e-4, "fast"]}, "train.lr"),
        ({"train.lr": [UNSET]}, "train.lr"),
        ({"train.lr": [1e-4, 100]}, "train.lr = 100 must lie between"),
        ({"model.head": ["cloze", "clz"]}, "model.head"),
        ({"model.head": {"low": "cls", "high": "mean"}}, "`model.head` is not a number"),
        ({"model.adapter.alpha": ["twice"]}, "model.adapter.alpha"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_trial(space, said):
    with pytest.raises(UserError, match=r"^sweep\.space") as mistake:
        space_of(searching(space))
    assert said in str(mistake.value)


def test_the_rank_of_no_adapter_is_refused():
    with pytest.raises(UserError, match=r"searches model\.adapter\.rank, but model\.adapter\.kind is 'none'"):
        space_of(searching({RANK: [8]}, "none"))


def test_integers_given_for_a_real_key_span_real_numbers():
    (axis,) = space_of(searching({"train.weight_decay": {"low": 0, "high": 1}}))
    assert axis.distribution == optuna.distributions.FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize(("template", "only"), [("pair", "safety"), ("pair", None), ("single", "chat")])
def test_an_empty_space_is_the_papers(base_folder, template, only):
    recipe = Recipe("x")
    recipe = replace(recipe, model=replace(recipe.model, base=str(base_folder("bert"))))
    recipe = with_values(recipe, {"prompt.template": template, "data.only": only})
    space = {axis.key: axis for axis in space_of(recipe)}
    assert list(space) == ["train.lr", "model.frozen", "prompt.instruction", KIND, RANK, ALPHA]
    assert (space["model.frozen"].distribution.low, space["model.frozen"].distribution.high) == (0, 1)
    instructions = space["prompt.instruction"].choices
    assert instructions[0] == UNSET
    assert len(set(instructions)) == len(instructions) >= 3
    assert any("safe" in text for text in instructions) == (only == "safety")
    assert all(("best" in text or "Which" in text) == (template == "pair") for text in instructions[1:])


def test_depths_reach_from_none_to_all_but_one(monkeypatch):
    import tinyrm.study.space as module

    for layers in range(1, 40):
        monkeypatch.setattr(module, "layers_of", lambda base, layers=layers: layers)
        depths = default_space(Recipe("x"))["model.frozen"]
        assert depths["low"] == 0
        assert depths["high"] == layers - 1
        assert (layers - 1) % depths["step"] == 0


def test_a_base_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot load the model"):
        space_of(with_values(Recipe("x"), {"model.base": str(tmp_path)}))


@given(st.lists(st.text("ab.", min_size=1).filter(lambda k: ".." not in k and k.strip(".") == k), unique=True))
def test_short_names_tell_keys_apart(keys):
    names = short_names(keys)
    assert len(set(names.values())) == len(keys)
    assert all(f".{key}".endswith(f".{name}") for key, name in names.items())


def test_short_names_and_values_are_short():
    assert short_names(["train.lr", "warmup.lr", KIND]) == {
        "train.lr": "train.lr",
        "warmup.lr": "warmup.lr",
        KIND: "kind",
    }
    assert shortened(0.00012345) == "0.000123"
    assert len(shortened("Which response is the most helpful?")) == 24


def test_alpha_follows_the_rank_of_the_same_trial():
    recipe = searching({RANK: [8], ALPHA: ["2x"]})
    assert recipe_with(recipe, {RANK: 8, ALPHA: "2x"}).model.adapter.alpha == 16
    assert recipe_with(recipe, {ALPHA: "0.5x"}).model.adapter.alpha == recipe.model.adapter.rank / 2
