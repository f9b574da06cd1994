from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.config import Recipe
from tinyrm.study.ablation import compare
from tinyrm.study.ablation_runs import RECIPE, Run
from tinyrm.study.ablation_table import facts, to_csv, to_markdown
from tinyrm.study.ingredients import variants
from tinyrm.types import Preference, to_prompt

SLOT, *OTHERS = sorted(variants(Recipe("mine"), 6), key=lambda variant: variant.ingredient != "slot")


def rows(count, per_prompt=1, ties=()):
    return [
        Preference(to_prompt(f"question {i // per_prompt}"), "yes", "no", tie=i in ties, source="made")
        for i in range(count)
    ]


def runs_of(name, logits, first=17):
    """A run for each row of logits [seeds, pairs]."""
    return {
        (name, first + i): Run(name, first + i, "r", "d", log_loss=0.5, seconds=2.0, logits=tuple(map(float, row)))
        for i, row in enumerate(np.atleast_2d(logits))
    }


def judgements(pairs, seeds):
    """Logits [seeds, pairs], some of them exactly 0."""
    return st.lists(
        st.lists(st.sampled_from((-1.0, -0.1, 0.0, 0.1, 1.0)), min_size=pairs, max_size=pairs),
        min_size=seeds,
        max_size=seeds,
    ).map(np.array)


studies = st.integers(1, 4).flatmap(lambda seeds: st.tuples(judgements(12, seeds), judgements(12, seeds)))


def seeds_of(logits):
    return range(17, 17 + len(logits))


@given(judgements(12, 3))
@settings(max_examples=30)
def test_a_variant_that_judges_as_the_recipe_differs_by_exactly_nothing(logits):
    runs = runs_of(RECIPE, logits) | runs_of(SLOT.name, logits)
    _, row = compare("mine", [SLOT], range(17, 20), runs, rows(12, per_prompt=2)).rows
    assert (row.difference.value, row.difference.low, row.difference.high) == (0, 0, 0)
    assert row.by_seed == (0, 0, 0)
    assert not row.decided


@given(studies, st.sets(st.integers(0, 11), max_size=11))
@settings(max_examples=40)
def test_differences_are_those_of_the_credits(study, ties):
    own, other = study
    runs = runs_of(RECIPE, own) | runs_of(SLOT.name, other)
    ablation = compare("mine", [SLOT], seeds_of(own), runs, rows(12, per_prompt=3, ties=ties))
    recipe, row = ablation.rows
    kept = [i for i in range(12) if i not in ties]
    credit = [((logits > 0) + 0.5 * (logits == 0))[:, kept].mean(axis=1) for logits in (own, other)]
    assert ablation.pairs == len(kept)
    assert recipe.accuracy.value == pytest.approx(credit[0].mean())
    assert row.accuracy.value == pytest.approx(credit[1].mean())
    assert row.difference.value == pytest.approx(row.accuracy.value - recipe.accuracy.value)
    assert row.by_seed == pytest.approx(tuple(credit[1] - credit[0]))
    assert sum(recipe.by_seed) == pytest.approx(0)
    assert row.difference.low <= row.difference.high


@given(studies)
@settings(max_examples=30)
def test_the_draws_are_the_same_for_all(study):
    own, other = study
    held_out, seeds = rows(12, per_prompt=2), seeds_of(own)
    _, alone = compare("mine", [SLOT], seeds, runs_of(RECIPE, own) | runs_of(SLOT.name, other), held_out).rows
    third = OTHERS[0]
    runs = runs_of(third.name, other) | runs_of(SLOT.name, other) | runs_of(RECIPE, own)
    both = compare("mine", [third, SLOT], seeds, runs, held_out).rows
    assert {row.difference for row in both[1:]} == {alone.difference}
    _, turned = compare("mine", [SLOT], seeds, runs_of(RECIPE, other) | runs_of(SLOT.name, own), held_out).rows
    assert (turned.difference.low, turned.difference.high) == pytest.approx(
        (-alone.difference.high, -alone.difference.low)
    )


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    """Two recipes that are equally good, with luck of their seeds and of the pairs in every study."""
    rng = np.random.default_rng(0)
    held_out, seeds = rows(150), range(17, 20)
    held = 0
    for _ in range(60):
        hard = rng.normal(0.3, 1, 150)
        own, other = (hard + rng.normal(0, 0.4, (3, 150)) + rng.normal(0, 0.1, (3, 1)) for _ in range(2))
        runs = runs_of(RECIPE, own) | runs_of(SLOT.name, other)
        held += not compare("mine", [SLOT], seeds, runs, held_out).rows[1].decided
    assert held >= 54


def test_an_interval_knows_that_seeds_differ():
    """Pairs that are all judged alike leave nothing to chance but the seed."""
    own, other = np.full((4, 40), 1.0), np.repeat([[1.0], [1.0], [-1.0], [-1.0]], 40, axis=1)
    runs = runs_of(RECIPE, own) | runs_of(SLOT.name, other)
    row = compare("mine", [SLOT], range(17, 21), runs, rows(40)).rows[1]
    assert row.difference.value == -0.5
    assert row.difference.low == -1.0
    assert row.difference.high == 0.0
    first = compare("mine", [SLOT], range(17, 18), runs, rows(40)).rows[1]
    assert (first.difference.value, first.difference.low, first.difference.high) == (0, 0, 0)


def mixed():
    """A study with a good and a bad variant, one that failed once and one that failed always."""
    good, bad, unsteady, broken = (SLOT, *OTHERS[:3])
    rng = np.random.default_rng(1)
    hard = rng.normal(0.5, 1, (2, 80))
    runs = (
        runs_of(RECIPE, hard)
        | runs_of(good.name, hard + 1)
        | runs_of(bad.name, hard - 1)
        | runs_of(unsteady.name, hard[:1])
        | {(unsteady.name, 18): Run(unsteady.name, 18, "r", "d", failed="the loss became nan")}
        | {(broken.name, seed): Run(broken.name, seed, "r", "d", failed="no room") for seed in (17, 18)}
    )
    return [good, bad, unsteady, broken], runs


def test_rows_go_from_loss_to_gain_and_failures_are_told():
    tried, runs = mixed()
    good, bad, unsteady, broken = tried
    ablation = compare("mine", tried, range(17, 19), runs, rows(80))
    assert [row.name for row in ablation.rows] == [RECIPE, bad.name, unsteady.name, good.name, broken.name]
    assert [row.decided for row in ablation.rows] == [False, True, False, True, False]
    assert [row.seeds for row in ablation.rows] == [2, 2, 1, 2, 0]
    told = "\n".join(facts(ablation))
    assert f"{unsteady.says} instead of {unsteady.instead_of}: 1 of 2 runs failed: the loss became nan." in told
    assert f"{broken.says} instead of {broken.instead_of}: 2 of 2 runs failed: no room." in told


def test_tables_say_what_the_rows_say():
    tried, runs = mixed()
    ablation = compare("mine", tried, range(17, 19), runs, rows(80))
    read = list(csv.DictReader(io.StringIO(to_csv(ablation))))
    assert [line["variant"] for line in read] == [row.name for row in ablation.rows]
    for line, row in zip(read, ablation.rows, strict=True):
        gap = (row.difference.value, row.difference.low, row.difference.high) if row.difference else ()
        assert tuple(float(line[key]) for key in ("difference", "low", "high") if line[key]) == gap
        assert tuple(map(float, line["by_seed"].split())) == row.by_seed
    markdown = to_markdown(ablation, "ablation.png")
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(ablation.rows)
    for line, row in zip(lines[2:], ablation.rows, strict=True):
        assert row.says in line
        if row.difference is not None:
            cell = f"{100 * row.difference.value:+.1f}" if row.difference.value else "0.0"
            assert (f"**{cell}**" if row.decided else f"| {cell} |") in line
    assert "](ablation.png)" in markdown
    assert "](" not in to_markdown(ablation, None)


def test_a_picture_is_drawn(tmp_path):
    from tinyrm.study.ablation_plot import plot

    pytest.importorskip("matplotlib")
    tried, runs = mixed()
    sizes = []
    for count in (0, 4):
        plot(compare("mine", tried[:count], range(17, 19), runs, rows(80)), tmp_path / "some.png.partial")
        written = (tmp_path / "some.png.partial").read_bytes()
        assert written.startswith(b"\x89PNG")
        sizes.append(int.from_bytes(written[20:24], "big"))
    assert sizes[0] < sizes[1]  # a line for each variant


def test_runs_of_seeds_that_are_not_asked_for_do_not_count():
    tried, runs = mixed()
    more = {(name, 19): replace(run, seed=19) for (name, seed), run in runs.items() if seed == 17}
    assert compare("mine", tried, range(17, 19), runs | more, rows(80)) == compare(
        "mine", tried, range(17, 19), runs, rows(80)
    )
