import csv
import gzip
import io
import json
import math
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.data import RawRow, read_rows
from tinyrm.errors import UserError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text("abcdefgh_", min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
rows_of_json = st.lists(st.dictionaries(names, values, max_size=4), max_size=6)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(texts.filter(lambda t: "\0" not in t), min_size=width, max_size=width), min_size=1)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def good(rows):
    rows = list(rows)
    assert all(row.error is None for row in rows)
    return [row.value for row in rows]


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_json, crlf=st.booleans(), name=st.sampled_from(["x.jsonl", "x.ndjson.gz", "x.json", "X.JSON.GZ"]))
def test_json_round_trip(folder, rows, crlf, name):
    if ".json" in name.lower() and not name.startswith("x.jsonl"):
        data = json.dumps(rows, indent=1 if crlf else None).encode()
    else:
        data = b"".join(json.dumps(row).encode() + (b"\r\n\n" if crlf else b"\n") for row in rows)
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    assert good(read_rows(path)) == rows


@settings(max_examples=40, deadline=None)
@given(table=tables, suffix=st.sampled_from(["csv", "tsv", "csv.gz"]))
def test_csv_round_trip(folder, table, suffix):
    header = [f"column {place}" for place in range(len(table[0]))]
    text = io.StringIO(newline="")
    delimiter = "\t" if suffix == "tsv" else ","
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([header, *table])
    data = b"\xef\xbb\xbf" + text.getvalue().encode()
    path = folder / f"x.{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    assert good(read_rows(path)) == [dict(zip(header, fields, strict=True)) for fields in table]


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a": texts, "b": st.none() | st.lists(texts, max_size=3)}), max_size=9))
def test_parquet_round_trip(folder, rows):
    path = folder / "x.parquet"
    schema = pa.schema({"a": pa.string(), "b": pa.list_(pa.string())})
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    read = list(read_rows(path))
    assert good(read) == rows
    assert [row.where for row in read] == [f"x.parquet row {number + 1}" for number in range(len(rows))]


@settings(max_examples=150, deadline=None)
@given(chunks=st.lists(st.binary(max_size=30) | st.just(b'{"good": 1}') | st.just(b'\xef\xbb\xbf{"good": 1}\r')))
def test_any_bytes_are_read_and_no_good_line_is_lost(folder, chunks):
    path = folder / "bytes.jsonl"
    lines = b"\n".join(chunks).split(b"\n")
    path.write_bytes(b"\n".join(lines))
    read = {row.where: row for row in read_rows(path)}
    for number, line in enumerate(lines, 1):
        row = read.pop(f"bytes.jsonl:{number}", None)
        if b"good" in line:
            assert row is not None
            assert row.value == {"good": 1}
        elif line.strip(b" \t\r\0"):
            assert row is None or row.error or isinstance(row.value, dict)
    assert not read


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(names, texts, max_size=3), min_size=1, max_size=20), data=st.data())
@pytest.mark.parametrize("suffix", ["jsonl.gz", "json.gz", "csv.gz"])
def test_of_a_truncated_gzip_the_rows_before_the_break_are_read(folder, suffix, rows, data):
    if suffix == "csv.gz":
        rows = [{"x": f"{number} {row}"} for number, row in enumerate(rows)]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([["x"], *([row["x"]] for row in rows)])
        plain = text.getvalue()
    elif suffix == "json.gz":
        plain = json.dumps(rows)
    else:
        plain = "".join(json.dumps(row) + "\n" for row in rows)
    zipped = gzip.compress(plain.encode())
    path = folder / f"cut.{suffix}"
    path.write_bytes(zipped[: data.draw(st.integers(2, len(zipped) - 1))])
    *before, last = list(read_rows(path))
    assert good(before) == rows[: len(before)]
    assert "truncated" in last.error


def test_faults_within_lines_are_mended_or_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"a": "\\ud800 and \\ud83d\\ude00", "b": ["\\udfff"]}\n\n{"a": NaN}\n[1]\n{"a": \n'
        b'\0\0{"a": "caf\xe9"}\n' + b"[" * 100_000 + b"\n"
    )
    mended, nan, no_object, broken, latin, deep = read_rows(path)
    assert mended == RawRow("x.jsonl:1", {"a": "\ufffd and \U0001f600", "b": ["\ufffd"]})
    assert math.isnan(nan.value["a"])
    assert nan.where == "x.jsonl:3"
    assert "not a JSON object" in no_object.error
    assert broken.where == "x.jsonl:5"
    assert broken.error.startswith("not JSON")
    assert latin.value == {"a": "caf\ufffd"}
    assert deep.value is None


def test_json_in_its_forms(tmp_path):
    rows = [{"prompt": "p", "turns": [{"role": "user"}]}, {"prompt": "q"}]
    for name, text in {
        "list": json.dumps(rows, indent=2),
        "held": json.dumps({"version": 1, "data": rows}),
        "lines": "\n".join(map(json.dumps, rows)),
    }.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        assert good(read_rows(path)) == rows
    (tmp_path / "one.json").write_text(json.dumps(rows[0]))
    assert good(read_rows(tmp_path / "one.json")) == rows[:1]
    (tmp_path / "cut.json").write_text(json.dumps(rows)[:-5])
    first, fault = read_rows(tmp_path / "cut.json")
    assert first.value == rows[0]
    assert "not JSON" in fault.error


def test_csv_takes_huge_fields_and_names_rows_of_too_many(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"a,b\n{'x' * 300_000},1\n1,2,3\n4\n")
    huge, long, short = read_rows(path)
    assert len(huge.value["a"]) == 300_000
    assert long == RawRow("x.csv row 2", None, "3 fields, but the header has 2")
    assert short.value == {"a": "4"}


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz"])
def test_a_csv_quote_that_is_never_closed_is_a_fault_of_the_file(tmp_path, suffix):
    comma = "\t" if "tsv" in suffix else ","
    text = f'a{comma}b\n1{comma}"x\ny"\n2{comma}z\n3{comma}"open\n4{comma}lost\n'.encode()
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    *before, fault = read_rows(path)
    assert good(before) == [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]
    assert fault.broken
    assert fault.where == f"x.{suffix} row 3"
    assert "line 5 opens a quote that nothing closes" in fault.error


def test_csv_faults_within_a_row_name_their_lines_and_reading_goes_on(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"x"y\n2,"x\n3,"y"\n4,z\n')
    one, several, last = read_rows(path)
    assert one.error.endswith("(line 2)")
    assert several.error.endswith("(lines 3 to 4)")
    assert last == RawRow("x.csv row 3", {"a": "4", "b": "z"})
    path.write_text('a,"b"c\n1,2\n')
    (header,) = read_rows(path)
    assert header.broken
    assert header.error.startswith("the header is not CSV")


def test_standard_input_is_jsonl(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\nno\n')))
    assert [(row.where, row.value) for row in read_rows("-")] == [("stdin:1", {"a": 1}), ("stdin:2", None)]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"x": [value]}), path)
    else:
        path.write_text(json.dumps({"x": value}))


def xs(path, **options):
    return [row["x"] for row in good(read_rows(path, **options))]


def test_a_folder_is_read_in_order_without_hidden_files(tmp_path):
    for name in ("b.jsonl", "a.jsonl", ".hidden.jsonl", ".cache/c.jsonl", "notes.txt", "sub/d.jsonl", "state.json"):
        write(tmp_path / name, name)
    assert xs(tmp_path) == ["a.jsonl", "b.jsonl", "sub/d.jsonl"]


def test_a_folder_in_hub_layout_gives_its_split(tmp_path):
    repository = tmp_path / "org" / "name"
    for split in ("train", "test", "raw"):
        for shard in range(2):
            write(repository / "data" / f"{split}-{shard:05}-of-00002.parquet", f"{split} {shard}")
    write(repository / "dataset_infos.json", "no row")
    assert xs(repository) == ["raw 0", "raw 1", "test 0", "test 1", "train 0", "train 1"]
    assert xs(repository, split="train") == ["train 0", "train 1"]
    assert xs(repository, split="raw") == ["raw 0", "raw 1"]
    with pytest.raises(UserError, match=r"no split 'validation'.*'raw', 'test', 'train'"):
        read_rows(repository, split="validation")


@pytest.mark.parametrize("names", [("train.jsonl", "valid.jsonl"), ("train/0.jsonl", "dev/0.jsonl")])
def test_splits_by_file_or_folder_name(tmp_path, names):
    for name in names:
        write(tmp_path / name, name)
    assert xs(tmp_path, split="validation") == [names[1]]


def test_files_that_name_no_split_count_with_every_split(tmp_path):
    for name in ("train.jsonl", "test.jsonl", "extra.jsonl"):
        write(tmp_path / name, name)
    assert xs(tmp_path) == ["extra.jsonl", "test.jsonl", "train.jsonl"]
    assert xs(tmp_path, split="train") == ["extra.jsonl", "train.jsonl"]
    assert xs(tmp_path, split="validation") == ["extra.jsonl"]


def test_what_cannot_be_read_is_the_users_mistake(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "x.docx").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name in ("x.parquet", "x.docx", "empty", "missing.jsonl", "missing"):
        with pytest.raises(UserError, match=name):
            list(read_rows(tmp_path / name))


def test_corruption_in_the_middle_of_a_parquet_is_the_users_mistake(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [str(n) * 50 for n in range(5000)]}), path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[200:1200] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.parquet is not a readable Parquet"):
        list(read_rows(path))


ASK_THE_HUB = """
import sys
sys.modules.update(datasets=None, torch=None)
from tinyrm.data import read_rows
from tinyrm.errors import UserError
name, split = sys.argv[1:]
try:
    print(*(row.value["x"] for row in read_rows(name, split or None)), sep=",")
except UserError as mistake:
    print(mistake)
"""


def test_a_data_set_of_the_hub_is_read_as_a_folder(tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "datasets--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    for name in ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "rows.jsonl"):
        write(repository / "blobs" / name, name)
        link = repository / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(repository / "blobs" / name)
    (repository / "snapshots" / commit / "name.py").write_text("raise SystemExit('ran the loading script')")

    def ask(name, split=""):
        environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-c", ASK_THE_HUB, name, split]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip()

    assert ask("org/name") == "data/test-00000-of-00001.parquet,data/train-00000-of-00001.parquet,rows.jsonl"
    assert ask("org/name", "train") == "data/train-00000-of-00001.parquet,rows.jsonl"
    assert ask("org/other").startswith("no file at org/other, and the Hub does not give a data set of that name: ")
    assert ask("org/a--b").startswith("no file at org/a--b, and the Hub does not give")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_of_any_country(tmp_path, delimiter):
    path = tmp_path / "rows.csv"
    lines = [("prompt", "chosen", "rejected"), ("what?", '"one, two; three"', "none")]
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines), "utf-8")
    assert [row.value for row in read_rows(path)] == [
        {"prompt": "what?", "chosen": "one, two; three", "rejected": "none"}
    ]


def test_utf_16_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response\na,b\n", "utf-16")
    with pytest.raises(UserError, match="is UTF-16"):
        list(read_rows(path))
