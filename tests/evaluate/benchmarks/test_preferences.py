import pytest

from tinyrm.evaluate.benchmarks.preferences import arrange, statistics


@pytest.mark.parametrize(
    ("fields", "column", "groups"),
    [
        ([{"subset": "s", "domain": "chat"}, {"domain": "chat"}], "subset", ["s", "(none)"]),
        ([{"domain": "chat", "source": "x"}, {"source": "y"}], "domain", ["chat", "(none)"]),
        ([{"source": "x"}, {"source": "y"}], "source", ["x", "y"]),
        ([{}], "subset", ["(none)"]),
    ],
)
def test_rows_are_grouped_by_the_first_column_that_any_has(prefer, fields, column, groups):
    arranged = arrange([prefer(**row) for row in fields])
    assert (arranged.subset_name, arranged.subsets) == (column, groups)


def test_the_headline_is_over_all_rows():
    (accuracy,) = statistics({"a": 3, "b": 5})
    assert accuracy.over_rows
    assert set(accuracy.weights) == {"a", "b"}
