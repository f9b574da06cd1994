import json

import pytest

from tinyrm.data import load_preferences
from tinyrm.errors import UserError

GOOD = {"prompt": "Why?", "chosen": "yes", "rejected": "no"}
ROWS = [GOOD, GOOD | {"rejected": ""}, {"prompt": "x"}, GOOD | {"rejected": "yes"}, GOOD | {"chosen": "Yes!"}]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "{broken\n")
    return path


def test_bad_rows_are_skipped_and_accounted_for(path):
    told = []
    loaded = load_preferences(path, notice=told.append)
    assert [preference.chosen for preference in loaded.preferences] == ["yes", "Yes!"]
    assert [bad.where for bad in loaded.bad] == [f"rows.jsonl:{line}" for line in (2, 3, 4, 6)]
    assert loaded.rows == 6
    assert told == [loaded.summary()]
    assert loaded.summary() == (
        f"{path}: 2 preferences of 6 rows; 4 bad: rejected is empty (1), no known shape (1), "
        "chosen and rejected are equal (1), not JSON (1); the first at rows.jsonl:2"
    )


def test_equal_and_empty_rows_can_be_kept(path):
    loaded = load_preferences(path, keep_equal=True)
    assert [bad.where for bad in loaded.bad] == ["rows.jsonl:3", "rows.jsonl:6"]


def test_the_first_bad_row_can_be_refused(path):
    with pytest.raises(UserError, match=r"bad row at rows\.jsonl:2: rejected is empty"):
        load_preferences(path, on_bad_row="refuse")


def test_a_file_without_a_good_row_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("")
    with pytest.raises(UserError, match="it has no rows"):
        load_preferences(path)
    path.write_text('{"text": "x"}\n[]\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:1: no known shape.*rows\.jsonl:2: not a JSON object"):
        load_preferences(path)


def test_nothing_is_told_of_a_clean_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD))
    told = []
    assert load_preferences(path, notice=told.append).summary() == f"{path}: 1 preferences of 1 rows"
    assert not told


def test_the_winner_column_and_the_split_are_passed_on(tmp_path):
    row = {"prompt": "Why?", "response_0": "kind", "response_1": "thorough"}
    (tmp_path / "train.jsonl").write_text(json.dumps(row | {"better_response_id": 1, "safer_response_id": 0}))
    (tmp_path / "test.jsonl").write_text(json.dumps(row | {"better_response_id": 1}))
    assert [p.chosen for p in load_preferences(tmp_path).preferences] == ["thorough", "thorough"]
    loaded = load_preferences(tmp_path, winner="safer_response_id")
    assert [p.chosen for p in loaded.preferences] == ["kind"]
    assert loaded.bad[0].where == "test.jsonl:1"
    assert not load_preferences(tmp_path, split="train", winner="safer_response_id").bad
