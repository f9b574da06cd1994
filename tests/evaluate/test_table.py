import io

import pytest
from rich.console import Console

from tinyrm.evaluate import evaluate
from tinyrm.evaluate.table import facts, render


def shown(evaluation):
    console = Console(file=io.StringIO(), width=140)
    console.print(render(evaluation))
    return console.file.getvalue()


def test_every_score_and_subset_is_shown(truth, parquet, rewardbench_rows):
    found = evaluate(truth, "rewardbench", data=parquet(rewardbench_rows))
    text = shown(found)
    assert all(score.name in text for score in (*found.scores, *found.subsets))
    assert all(score.formula in " ".join(facts(found)) for score in found.scores)
    assert "100.0" in text
    assert "longer wins" in text
    assert "MISSING rows: alpacaeval-easy (2 of 100)" in text
    assert "SAMPLE" not in text


def test_what_limits_the_figures_is_said(judge_by, parquet, rewardbench_rows):
    judge = judge_by(lambda *pair: 0.5, agree=True, cut={"a": 1})
    found = evaluate(judge, "rewardbench", data=parquet(rewardbench_rows), limit=10)
    text = " ".join(facts(found))
    for fact in ("A SAMPLE: 10 of 46 rows", "10 rows cut", "10 rows called a tie", "* over the subsets"):
        assert fact in text


@pytest.mark.parametrize(("protocol", "told"), [("single", False), ("pair", True), (None, True)])
def test_orders_are_told_of_only_where_there_are_any(truth, parquet, rewardbench_rows, protocol, told):
    found = evaluate(truth, "rewardbench", data=parquet(rewardbench_rows), protocol=protocol)
    assert any("Both orders" in fact for fact in facts(found)) == told
