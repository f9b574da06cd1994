"""An outcome in parts holds the rows of one in a single file."""

from __future__ import annotations

import gzip
import json

import pyarrow.parquet
import pytest

import tinyrm
from tinyrm.data import read_rows
from tinyrm.errors import UserError
from tinyrm.scale import score_file
from tinyrm.scale.formats import suffix_of

ROWS = 50


@pytest.fixture(scope="module")
def judge(exported_folder):
    return tinyrm.load(exported_folder("bert"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"what is {i}?", "response": "yes"}) + "\n" for i in range(ROWS)))
    return path


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.jsonl", ".jsonl"), ("a.jsonl.gz", ".jsonl.gz"), ("b.ndjson", ".ndjson"), ("c.parquet", ".parquet"), ("d", "")],
)
def test_the_longest_suffix_counts(name, suffix):
    assert suffix_of(name) == suffix


@pytest.mark.parametrize(("rows", "sizes"), [(20, [20, 20, 10]), (25, [25, 25]), (50, [50]), (1000, [50])])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_parts_are_the_whole(judge, source, tmp_path, suffix, rows, sizes):
    score_file(judge, source, tmp_path / f"one{suffix}")
    parts = tmp_path / f"parts{suffix}"
    score_file(judge, source, parts, shard_rows=rows)
    names = [f"part-{number:05}{suffix}" for number in range(len(sizes))]
    assert sorted(path.name for path in parts.iterdir()) == names
    assert [sum(1 for _ in read_rows(parts / name)) for name in names] == sizes
    whole = [row.value for row in read_rows(tmp_path / f"one{suffix}")]
    assert [row.value for row in read_rows(parts)] == whole
    if suffix == ".jsonl":
        joined = b"".join((parts / name).read_bytes() for name in names)
        assert joined == (tmp_path / "one.jsonl").read_bytes()
    elif suffix == ".jsonl.gz":
        joined = b"".join(gzip.decompress((parts / name).read_bytes()) for name in names)
        assert joined == gzip.decompress((tmp_path / "one.jsonl.gz").read_bytes())
    else:
        assert len({str(pyarrow.parquet.read_schema(parts / name)) for name in names}) == 1
    assert not list(tmp_path.glob("*.partial*")) + list(tmp_path.glob("*.tmp"))


def test_parts_are_replaced_and_other_folders_never(judge, source, tmp_path):
    target = tmp_path / "out.jsonl"
    score_file(judge, source, target, shard_rows=10)
    with pytest.raises(UserError, match="exists"):
        score_file(judge, source, target, shard_rows=30)
    score_file(judge, source, target, shard_rows=30, overwrite=True)
    assert len(list(target.iterdir())) == 2
    score_file(judge, source, target, overwrite=True)
    assert target.is_file()
    score_file(judge, source, target, shard_rows=30, overwrite=True)
    (target / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="other things than parts"):
        score_file(judge, source, target, overwrite=True)
    assert (target / "mine.txt").read_text() == "keep"


def test_what_a_killed_run_left_is_no_hindrance(judge, source, tmp_path):
    target = tmp_path / "out.jsonl"
    left = tmp_path / "out.jsonl.tmp"
    left.mkdir()
    (left / "part-00000.jsonl").write_text("half")
    score_file(judge, source, target, shard_rows=30)
    assert [sum(1 for _ in read_rows(path)) for path in sorted(target.iterdir())] == [30, 20]
    assert not left.exists()


def test_columns_that_the_first_row_lacks_are_kept(judge, tmp_path):
    rows = ["garbage", {"prompt": "a?", "response": "b", "n": 1}, {"prompt": "a?", "chosen": "b", "rejected": "c"}]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    score_file(judge, source, tmp_path / "out.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert set(found[0]) == {"prompt", "response", "n", "chosen", "rejected", "tinyrm"}
    assert [row["rejected"] for row in found] == [None, None, "c"]
    assert found[0]["tinyrm"]["error"]


def test_what_no_table_can_hold_is_told_and_kept(judge, tmp_path):
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.parquet"
    source.write_text(json.dumps({"prompt": "a?", "response": "b", "id": 2**63 + 5}) + "\n")
    with pytest.raises(UserError, match=r"do not fit into one Parquet table.*out\.parquet\.partial"):
        score_file(judge, source, target)
    assert json.loads((tmp_path / "out.parquet.partial").read_text())["id"] == 2**63 + 5
