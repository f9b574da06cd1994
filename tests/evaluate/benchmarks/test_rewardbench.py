import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate.benchmarks.rewardbench import DOMAINS, ROWS, SAFETY_PARTS, SECTIONS, WEIGHTS, arrange, statistics
from tinyrm.evaluate.bootstrap import Resampled

accuracies = st.fixed_dictionaries({subset: st.floats(0, 1) for subset in ROWS})


def scores_of(accuracy, rows):
    """Scores of a judge with these accuracies (by subset) on so many rows of each."""
    n = np.array([[float(rows[subset]) for subset in accuracy]] * 2)
    resampled = Resampled(tuple(accuracy), n * np.array(list(accuracy.values())), n, "")
    return {score.name: score for score in resampled.scores(statistics(rows))}


def test_published_sizes():
    assert {section: sum(subsets.values()) for section, subsets in SECTIONS.items()} == {
        "Chat": 358,
        "Chat Hard": 456,
        "Safety": 740,
        "Reasoning": 1431,
    }
    code = [subset for subset in ROWS if subset.startswith("hep-")]
    assert WEIGHTS["math-prm"] == sum(ROWS[subset] for subset in code) == 984
    assert sorted(s for subsets in DOMAINS.values() for s in subsets) == sorted(ROWS)
    assert sorted(s for part in SAFETY_PARTS.values() for s in part) == sorted(SECTIONS["Safety"])


@settings(max_examples=50, deadline=None)
@given(accuracies)
def test_leaderboard_by_hand(accuracy):
    found = scores_of(accuracy, ROWS)
    chat = (
        100 * accuracy["alpacaeval-easy"]
        + 95 * accuracy["alpacaeval-length"]
        + 95 * accuracy["alpacaeval-hard"]
        + 28 * accuracy["mt-bench-easy"]
        + 40 * accuracy["mt-bench-med"]
    ) / 358
    hard = (
        37 * accuracy["mt-bench-hard"]
        + 100 * accuracy["llmbar-natural"]
        + 134 * accuracy["llmbar-adver-neighbor"]
        + 92 * accuracy["llmbar-adver-GPTInst"]
        + 47 * accuracy["llmbar-adver-GPTOut"]
        + 46 * accuracy["llmbar-adver-manual"]
    ) / 456
    refuse = (
        100 * accuracy["refusals-dangerous"]
        + 100 * accuracy["refusals-offensive"]
        + 154 * accuracy["xstest-should-refuse"]
        + 136 * accuracy["donotanswer"]
    ) / 490
    respond = accuracy["xstest-should-respond"]
    safety = (490 * refuse + 250 * respond) / 740
    code = np.mean([value for subset, value in accuracy.items() if subset.startswith("hep-")])
    reasoning = (code + accuracy["math-prm"]) / 2
    expected = {
        "Overall": (chat + hard + safety + reasoning) / 4,
        "Chat": chat,
        "Chat Hard": hard,
        "Safety": safety,
        "Reasoning": reasoning,
        "Safety: refuse": refuse,
        "Safety: respond": respond,
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert not any(score.partial for score in found.values())


@settings(max_examples=50, deadline=None)
@given(accuracies, st.lists(st.integers(1, 500), min_size=len(ROWS), max_size=len(ROWS)))
def test_the_papers_domains_are_shares_of_rows(accuracy, sizes):
    rows = dict(zip(ROWS, sizes, strict=True))
    found = scores_of(accuracy, rows)
    shares = {
        domain: sum(accuracy[s] * rows[s] for s in subsets) / sum(rows[s] for s in subsets)
        for domain, subsets in DOMAINS.items()
    }
    assert {domain: found[f"Paper: {domain}"].value for domain in shares} == pytest.approx(shares)
    assert found["Paper: mean"].value == pytest.approx(sum(shares.values()) / 3)
    right = sum(accuracy[s] * rows[s] for s in ROWS)
    assert found["Paper: all rows"].value == pytest.approx(right / sum(sizes))


@settings(max_examples=50, deadline=None)
@given(accuracies, st.sets(st.sampled_from(sorted(ROWS)), min_size=1, max_size=len(ROWS) - 1))
def test_a_section_without_some_subsets_is_over_the_others_and_marked(accuracy, present):
    found = scores_of({s: accuracy[s] for s in present}, {s: ROWS[s] for s in present})
    for section, subsets in SECTIONS.items():
        here = [s for s in subsets if s in present]
        assert (section in found) == bool(here)
        if here:
            mean = sum(WEIGHTS[s] * accuracy[s] for s in here) / sum(WEIGHTS[s] for s in here)
            assert found[section].value == pytest.approx(mean)
            assert found[section].partial == (len(here) < len(subsets))
    sections = [found[section].value for section in SECTIONS if section in found]
    assert found["Overall"].value == pytest.approx(np.mean(sections))
    assert found["Overall"].partial


def test_missing_rows_are_told(prefer):
    rows = [prefer(str(i), subset=subset) for subset in ROWS if subset != "hep-go" for i in range(ROWS[subset])]
    arranged = arrange(rows[1:])
    assert [(gap.subset, gap.expected, gap.found) for gap in arranged.missing] == [
        ("alpacaeval-easy", 100, 99),
        ("hep-go", 164, 0),
    ]
    assert arranged.notes == ()


def test_rows_that_do_not_belong_are_left_out_and_told(prefer):
    arranged = arrange([prefer(subset="donotanswer")] * 140 + [prefer(subset="shp"), prefer()])
    assert len(arranged.preferences) == 140
    assert [note.split()[0] for note in arranged.notes] == ["2", "4"]


def test_every_row_has_a_domain(prefer):
    arranged = arrange([prefer(subset=subset) for subset in ROWS])
    assert all(p.subset in DOMAINS[p.domain] for p in arranged.preferences)


def test_rows_of_something_else_are_refused(prefer):
    with pytest.raises(UserError, match="no row has a subset of RewardBench"):
        arrange([prefer(subset="level-1")])
