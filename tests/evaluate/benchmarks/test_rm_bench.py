import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.data import BadRow
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.rm_bench import BENCHMARK, ROWS, SECTIONS, STYLES, arrange, read

three = st.lists(st.integers(0, 4), min_size=3, max_size=3)
rows_of_judge = st.lists(st.tuples(st.sampled_from(sorted(ROWS)), three, three), min_size=1, max_size=12)


def reward(prompt, text):
    return float(text.split("=")[1])


def rows_of(drawn):
    return [
        {
            "id": i,
            "domain": part,
            "prompt": f"question {i}",
            "chosen": [f"right {style} ={x}" for style, x in zip(STYLES, right, strict=True)],
            "rejected": [f"wrong {style} ={x}" for style, x in zip(STYLES, wrong, strict=True)],
        }
        for i, (part, right, wrong) in enumerate(drawn)
    ]


def published(drawn):
    """As the README of RM-Bench says it: a matrix a domain, of which the triangles and the diagonal are averaged."""
    domains = {}
    for domain, parts in SECTIONS.items():
        wins = [np.greater.outer(right, wrong) for part, right, wrong in drawn if part in parts]
        if wins:
            domains[domain] = np.mean(wins, axis=0)
    triangle = np.tril(np.ones((3, 3)), -1)
    levels = {"Easy": triangle, "Normal": np.eye(3), "Hard": triangle.T}
    scores = {
        f"{domain} {level.lower()}": (matrix * cells).sum() / 3
        for domain, matrix in domains.items()
        for level, cells in levels.items()
    }
    scores |= {d: np.mean([scores[f"{d} {level.lower()}"] for level in levels]) for d in domains}
    scores |= {level: np.mean([scores[f"{d} {level.lower()}"] for d in domains]) for level in levels}
    mean = np.mean(list(domains.values()), axis=0)
    scores |= {
        f"{STYLES[i].capitalize()} over {STYLES[j]}": mean[i, j] for i in range(len(STYLES)) for j in range(len(STYLES))
    }
    return scores | {"Overall": np.mean([scores[d] for d in domains])}


@settings(max_examples=40)
@given(rows_of_judge)
def test_the_published_formulas(scores_of, rewarded, drawn):
    assert scores_of(BENCHMARK, rows_of(drawn), rewarded(reward)) == pytest.approx(published(drawn), rel=1e-12)


@settings(max_examples=15)
@given(rows_of_judge)
def test_domains_and_levels_have_the_same_mean(scores_of, rewarded, drawn):
    found = scores_of(BENCHMARK, rows_of(drawn), rewarded(reward))
    assert found["Overall"] == pytest.approx(np.mean([found[level] for level in ("Easy", "Normal", "Hard")]))


def test_a_judge_that_reads_the_style_alone_is_right_where_it_is_easy(scores_of, rewarded):
    rows = rows_of([(part, [0] * 3, [0] * 3) for part in ROWS])
    fancier = rewarded(lambda prompt, text: float(STYLES.index(text.split()[1])))
    found = scores_of(BENCHMARK, rows, fancier)
    assert (found["Easy"], found["Normal"], found["Hard"]) == (1, 0, 0)
    assert found["Overall"] == pytest.approx(1 / 3)


def test_the_files_of_the_repository_tell_the_part(rewarded, tmp_path):
    rows = [{k: v for k, v in row.items() if k != "domain"} for row in rows_of([("chat", [1] * 3, [0] * 3)] * 4)]
    for part in ROWS:
        (tmp_path / f"{part}_filtered.json").write_text(json.dumps(rows), "utf-8")
    found = evaluate(rewarded(reward), "rm-bench", data=tmp_path, limit=10)
    assert (found.rows.judged, found.rows.available, found.rows.comparisons) == (10, 20, 90)
    assert {gap.subset for gap in found.missing} == set(ROWS)
    assert {score.value for score in found.scores} == {1}
    with pytest.raises(BadRow, match="no domain"):
        read(rows[0], "rows.json:1")


def test_rows_of_another_form_are_bad():
    (row,) = rows_of([("math", [1, 2, 3], [0, 0, 0])])
    with pytest.raises(BadRow, match="2 chosen and 3 rejected"):
        read({**row, "chosen": row["chosen"][:2]}, "x:1")


def test_a_row_that_stands_in_two_files_counts_once():
    rows = [found for row in rows_of([("math", [1, 2, 3], [0, 0, 0])]) for found in read(row, "x:1")] * 2
    arranged = arrange(rows)
    assert (arranged.rows, len(arranged.preferences)) == (1, 9)
    assert arranged.notes[0].startswith("1 rows repeat")
