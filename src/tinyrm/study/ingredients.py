"""The ingredients of a recipe, and what may stand in the place of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..config import Recipe, recipe_from
from ..errors import UserError, nearest


@dataclass(frozen=True)
class Variant:
    """A recipe with one ingredient exchanged; `says` is what it has, `instead_of` what the full recipe has."""

    ingredient: str
    says: str
    instead_of: str
    overrides: Mapping[str, Any]
    recipe: Recipe

    @property
    def name(self) -> str:
        """`says` as one word, for files and the command line."""
        return "-".join(self.says.lower().split())


@dataclass(frozen=True)
class Ingredient:
    """One choice that a recipe makes.

    says: what a recipe has of it. others: overrides of the recipe, each a way to do otherwise, given the
    number of layers of its base; none if the choice means nothing to this recipe.
    """

    name: str
    says: Callable[[Recipe], str]
    others: Callable[[Recipe, int], list[dict[str, Any]]]

    def variants(self, recipe: Recipe, layers: int) -> list[Variant]:
        made = [(overrides, with_values(recipe, overrides)) for overrides in self.others(recipe, layers)]
        return [Variant(self.name, self.says(other), self.says(recipe), changed, other) for changed, other in made]


def _choice(
    name: str, key: str, words: Mapping[str, str], fits: Callable[[Recipe, str], bool] = lambda recipe, value: True
) -> Ingredient:
    """An ingredient of a few values, each with what it is called; `fits`: whether a recipe can have a value."""

    def others(recipe: Recipe, layers: int) -> list[dict[str, Any]]:
        return [{key: value} for value in words if value != value_of(recipe, key) and fits(recipe, value)]

    return Ingredient(name, lambda recipe: words[value_of(recipe, key)], others)


def _is_pair(recipe: Recipe) -> bool:
    return recipe.prompt.template == "pair"


def _matches(recipe: Recipe) -> bool:
    """Whether the head compares prompt and response: it needs the single template and places the slot itself."""
    return recipe.model.head == "match"


def _frozen(recipe: Recipe) -> str:
    layers = recipe.model.frozen
    return f"{layers} layer{'s' if layers > 1 else ''} frozen" if layers else "nothing frozen"


def _frozen_otherwise(recipe: Recipe, layers: int) -> list[dict[str, Any]]:
    if not recipe.model.frozen:
        return [{"model.frozen": layers // 2}] if layers > 1 else []
    return [{"model.frozen": 0}]


def _other_template(recipe: Recipe, layers: int) -> list[dict[str, Any]]:
    if recipe.train.objective != "preference" or _matches(recipe):  # Rc-BT is for single clozes alone
        return []
    overrides: dict[str, Any] = {"prompt.template": "single" if _is_pair(recipe) else "pair"}
    # An instruction of the recipe's own was written for its template: "Select the best response." asks about two.
    return [overrides | ({"prompt.instruction": None} if recipe.prompt.instruction else {})]


INGREDIENTS = (
    _choice(
        "head",
        "model.head",
        {"cloze": "cloze", "cls": "CLS head", "mean": "mean head", "match": "match head"},
        fits=lambda recipe, head: head != "match" or not _is_pair(recipe),
    ),
    _choice("adapter", "model.adapter.kind", {"dora": "DoRA", "lora": "LoRA", "none": "full weights"}),
    Ingredient("freezing", _frozen, _frozen_otherwise),
    _choice(
        "orders", "prompt.orders", {"both": "both orders", "one": "one order"}, fits=lambda recipe, _: _is_pair(recipe)
    ),
    Ingredient(
        "instruction",
        lambda recipe: "no instruction" if recipe.prompt.instruction == "" else "instruction",
        lambda recipe, layers: [{"prompt.instruction": None if recipe.prompt.instruction == "" else ""}],
    ),
    _choice(
        "slot",
        "prompt.slot",
        {"last": "slot last", "first": "slot first"},
        fits=lambda recipe, _: not _matches(recipe),
    ),
    Ingredient("template", lambda recipe: recipe.prompt.template, _other_template),
    _choice(
        "objective",
        "train.objective",
        {"preference": "no Rc-BT", "response-conditioned": "Rc-BT"},
        fits=lambda recipe, _: not _is_pair(recipe),
    ),
)
"""What is in the recipe is taken out; what it lacks is put in."""


def variants(recipe: Recipe, layers: int, only: Iterable[str] = ()) -> list[Variant]:
    """All variants of a recipe that differ from it in one ingredient; or `only` those of certain names.

    only: names of ingredients, or of single variants.

    Raises:
        UserError: a name is unknown, or this recipe has nothing to vary under it.
    """
    found = [variant for ingredient in INGREDIENTS for variant in ingredient.variants(recipe, layers)]
    for name in recipe.ablation.lr:
        if name not in (names := {variant.name for variant in found}):
            raise UserError(f"ablation.lr: no variant is called {name!r}{nearest(name, names)}")
    found = [_at_its_rate(variant) for variant in found]
    only = tuple(only)
    for name in only:
        if not any(name in (variant.ingredient, variant.name) for variant in found):
            if name in {ingredient.name for ingredient in INGREDIENTS}:
                raise UserError(f"the recipe has nothing to vary in the ingredient {name!r}: leave it out")
            known = {name for variant in found for name in (variant.ingredient, variant.name)}
            raise UserError(f"no such ingredient: {name!r}{nearest(name, known)}")
    return [variant for variant in found if not only or variant.ingredient in only or variant.name in only]


def _at_its_rate(variant: Variant) -> Variant:
    rate = variant.recipe.ablation.lr.get(variant.name)
    if rate is None:
        return variant
    overrides = {**variant.overrides, "train.lr": rate}
    return replace(variant, overrides=overrides, recipe=with_values(variant.recipe, {"train.lr": rate}))


def value_of(recipe: Recipe, key: str) -> Any:
    """The value at a dotted key such as `model.adapter.kind`."""
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def with_values(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with other values at dotted keys, checked as if they stood in its file."""
    values = asdict(recipe)
    for key, value in overrides.items():
        *parents, last = key.split(".")
        table = values
        for name in parents:
            table = table[name]
        table[last] = value
    return recipe_from(values, recipe.name)
