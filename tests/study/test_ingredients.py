from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.config import Recipe, recipe_from
from tinyrm.errors import UserError
from tinyrm.study.ingredients import INGREDIENTS, value_of, variants, with_values
from tinyrm.train.materials import template_of


def recipes():
    """Recipes of every combination of ingredients, as a file would give them."""
    either = st.sampled_from(("single", "pair")).flatmap(
        lambda template: st.fixed_dictionaries(
            {
                "name": st.just("any"),
                "prompt": st.fixed_dictionaries(
                    {
                        "template": st.just(template),
                        "slot": st.sampled_from(("last", "first")),
                        "orders": st.sampled_from(("both", "one")),
                    },
                    optional={"instruction": st.sampled_from(("", "Which is better?"))},
                ),
                "model": st.fixed_dictionaries(
                    {
                        "head": st.sampled_from(
                            ("cloze", "cls", "mean") + (("match",) if template == "single" else ())
                        ),
                        "frozen": st.integers(0, 6),
                        "adapter": st.fixed_dictionaries({"kind": st.sampled_from(("none", "lora", "dora"))}),
                    }
                ),
                "train": st.fixed_dictionaries(
                    {
                        "objective": st.sampled_from(("preference", "response-conditioned"))
                        if template == "single"
                        else st.just("preference")
                    }
                ),
            }
        )
    )
    return st.tuples(either, st.booleans()).map(
        lambda made: recipe_from(made[0] | {"cache": {"prefix": made[1] and made[0]["model"]["frozen"] > 0}}, "test")
    )


def flat(values, prefix=""):
    return (
        {key: inner for name in values for key, inner in flat(values[name], f"{prefix}{name}.").items()}
        if isinstance(values, dict)
        else {prefix.rstrip("."): values}
    )


@given(recipes(), st.integers(1, 30))
@settings(max_examples=30)
def test_a_variant_changes_exactly_what_it_names_and_can_be_loaded(recipe, layers):
    own = flat(asdict(recipe))
    found = variants(recipe, layers)
    for variant in found:
        changed = flat(asdict(variant.recipe))
        assert {key: changed[key] for key in own if own[key] != changed[key]} == variant.overrides
        assert recipe_from(asdict(variant.recipe), "again") == variant.recipe
        assert template_of(variant.recipe).kind == variant.recipe.prompt.template
        assert variant.says != variant.instead_of
        assert variant.name == variant.name.lower()
        assert not set(variant.name) & set(" /\\.")
    assert len({variant.name for variant in found}) == len(found)


@given(recipes(), st.integers(2, 30))
@settings(max_examples=8)
def test_every_ingredient_can_be_turned_back(recipe, layers):
    for variant in variants(recipe, layers):
        back = [other.says for other in variants(variant.recipe, layers) if other.ingredient == variant.ingredient]
        if variant.ingredient != "freezing":
            assert variant.instead_of in back
        else:
            assert recipe.model.frozen > 0 or "nothing frozen" in back


@given(recipes())
@settings(max_examples=30)
def test_what_the_recipe_cannot_tell_apart_is_not_varied(recipe):
    found = {variant.ingredient for variant in variants(recipe, 6)}
    assert {"head", "adapter", "instruction"} <= found
    assert ("slot" in found) == (recipe.model.head != "match")
    assert ("orders" in found) == (recipe.prompt.template == "pair")
    assert ("objective" in found) == (recipe.prompt.template == "single")
    assert ("template" in found) == (recipe.train.objective == "preference" and recipe.model.head != "match")
    assert "freezing" in found
    assert "freezing" not in {variant.ingredient for variant in variants(Recipe("a"), 1)}


@given(recipes(), st.data())
@settings(max_examples=30)
def test_only_some(recipe, data):
    everything = variants(recipe, 6)
    names = sorted({name for variant in everything for name in (variant.ingredient, variant.name)})
    only = data.draw(st.lists(st.sampled_from(names), min_size=1))
    kept = [variant for variant in everything if {variant.ingredient, variant.name} & set(only)]
    assert variants(recipe, 6, only) == kept


def test_an_instruction_of_the_recipes_own_goes_with_its_template():
    recipe = with_values(Recipe("a"), {"prompt.template": "pair", "prompt.instruction": "Select the best response."})
    (single,) = variants(recipe, 6, ["template"])
    assert single.overrides == {"prompt.template": "single", "prompt.instruction": None}
    bare = with_values(recipe, {"prompt.instruction": ""})
    assert variants(bare, 6, ["template"])[0].recipe.prompt.instruction == ""


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (["orders"], "nothing to vary in the ingredient 'orders'"),
        (["one-order"], "no such ingredient: 'one-order'"),
        (["slot", "haed"], "no such ingredient: 'haed'; did you mean 'head'?"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(only, said):
    with pytest.raises(UserError) as mistake:
        variants(Recipe("a"), 6, only)
    assert said in str(mistake.value)


def test_values_are_checked_as_those_of_a_file():
    with pytest.raises(UserError, match=r"model\.frozen"):
        with_values(Recipe("a"), {"model.frozen": -1})
    assert value_of(with_values(Recipe("a"), {"model.adapter.kind": "dora"}), "model.adapter.kind") == "dora"
    assert len({ingredient.name for ingredient in INGREDIENTS}) == len(INGREDIENTS)


def test_a_variant_may_have_a_learning_rate_of_its_own():
    recipe = recipe_from({"name": "x", "model": {"adapter": {"kind": "dora"}}, "ablation": {"lr": {"lora": 0.5}}}, "x")
    found = {variant.name: variant for variant in variants(recipe, 4)}
    assert found["lora"].recipe.train.lr == 0.5
    assert found["lora"].overrides == {"model.adapter.kind": "lora", "train.lr": 0.5}
    assert found["full-weights"].recipe.train.lr == recipe.train.lr
    with pytest.raises(UserError, match="no variant is called 'loar'; did you mean 'lora'"):
        variants(recipe_from({"name": "x", "ablation": {"lr": {"loar": 0.5}}}, "x"), 4)
