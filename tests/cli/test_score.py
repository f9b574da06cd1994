from __future__ import annotations

import gzip
import io
import json
import re
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tinyrm
from tinyrm.data import read_rows
from tinyrm.infer.scoring import score_rows

ROWS = [
    {"prompt": "what is a?", "response": "yes", "id": 1},
    {"prompt": "what is b?", "chosen": "yes", "rejected": "no"},
    {"prompt": "what is c?", "responses": ["yes", "no", "good"]},
]
COMMAND = [sys.executable, "-m", "tinyrm", "score"]


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def single(i: int) -> dict:
    return {"prompt": f"what is {chr(97 + i % 26)}?", "response": "yes " * (i % 5), "id": i}


def test_a_file_is_the_python_api(cli, checkpoint, rows_file, tmp_path):
    source, target = rows_file(ROWS), tmp_path / "out.jsonl"
    done = cli("score", source, "-o", target, "--model", checkpoint)
    assert (done.code, done.out, done.err) == (0, "", "3 rows judged by random-bert\n")
    assert lines(target) == list(score_rows(tinyrm.load(checkpoint), read_rows(source)))
    assert not list(tmp_path.glob("*.partial"))


def test_v_tells_what_computes(rows_file, checkpoint_folder):
    trained = checkpoint_folder("bert")
    said = [
        subprocess.run([*COMMAND, rows_file(ROWS), "-v", *more], capture_output=True, text=True, check=True).stderr
        for more in ([], ["--model", trained], ["--model", trained, "--backend", "torch-bfloat16"])
    ]
    for text, computes in zip(said, ("ONNX Runtime", "float32", "bfloat16"), strict=True):
        assert computes in text.splitlines()[0]


def test_standard_input_to_standard_output(cli, checkpoint, rows_file, monkeypatch):
    source = rows_file(ROWS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    piped, read = cli("score", "-", "--model", checkpoint), cli("score", source, "--model", checkpoint)
    assert (piped.code, read.code) == (0, 0)
    assert piped.out == read.out != ""


def test_every_format_gives_the_same_judgements(cli, checkpoint, rows_file, tmp_path):
    rows = [{"prompt": "what is a?", "chosen": "yes", "rejected": "no, no"}] * 2
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("prompt,chosen,rejected\n" + 'what is a?,yes,"no, no"\n' * 2, "utf-8")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(rows_file(rows).read_bytes()))
    found = [
        cli("score", tmp_path / name, "--model", checkpoint)
        for name in ("rows.jsonl", "rows.parquet", "rows.csv", "rows.jsonl.gz")
    ]
    assert [done.code for done in found] == [0] * 4
    assert len({done.out for done in found}) == 1


def test_odd_rows_are_judged(cli, checkpoint, rows_file):
    odd = ["", "a " * 100_000, "🙂", "שלום عربي", "a\0b", "[MASK] [SEP] </s>", "\ud800"]
    source = rows_file(
        [{"prompt": "a?", "response": text} for text in odd] + [b'\0{"prompt": "a?", "response": "yes"}\0']
    )
    done = cli("score", source, "--model", checkpoint)
    assert (done.code, done.err) == (0, "8 rows judged by random-bert\n")
    judged = [json.loads(line) for line in done.out.splitlines()]
    assert [row["response"] for row in judged] == [*odd[:-1], "\ufffd", "yes"]
    assert [set(row["tinyrm"]["cut"]) for row in judged] == [
        {"response"} if len(text) > 99 else set() for text in odd
    ] + [set()]


def test_every_third_line_of_garbage_costs_no_good_row(cli, checkpoint, rows_file, tmp_path):
    garbage = [b"\xff\xfe{", b"[1, 2]", b'{"prompt": "a?"}', b'{"prompt": "a?", "resp']
    mixed = [garbage[i % 4] if i % 3 == 2 else single(i) for i in range(600)]
    target = tmp_path / "out.jsonl"
    done = cli("score", rows_file(mixed), "-o", target, "--model", checkpoint)
    assert done.code == 0
    judged = lines(target)
    assert [row.get("id") for row in judged] == [None if i % 3 == 2 else i for i in range(600)]
    assert [i for i, row in enumerate(judged) if "error" in row["tinyrm"]] == list(range(2, 600, 3))
    assert "judging: 512 of 600" in done.err
    assert done.err.splitlines()[-1].startswith(
        "400 of 600 rows judged by random-bert, 200 could not be: see tinyrm.error, the first at rows.jsonl:3:"
    )


def test_refuse_stops_at_the_first_bad_row(mistake, checkpoint, rows_file, tmp_path):
    source = rows_file([ROWS[0], b"garbage", ROWS[1]])
    assert "rows.jsonl:2: not JSON" in mistake(
        "score", source, "-o", tmp_path / "out.jsonl", "--on-bad-row", "refuse", "--model", checkpoint
    )
    assert not (tmp_path / "out.jsonl").exists()


def test_parquet_out(cli, checkpoint, rows_file, tmp_path):
    rows = [single(i) for i in range(600)]
    target = tmp_path / "out.parquet"
    assert cli("score", rows_file(rows), "-o", target, "--model", checkpoint).code == 0
    found = pq.read_table(target).to_pylist()
    assert [row["id"] for row in found] == list(range(600))
    assert all(0 < row["tinyrm"]["p"] < 1 for row in found)


def test_another_field_and_overwriting(cli, mistake, checkpoint, rows_file, tmp_path):
    target = tmp_path / "out.jsonl"
    first = cli("score", rows_file(ROWS), "-o", target, "--model", checkpoint)
    assert first.code == 0
    assert "out.jsonl exists" in mistake("score", rows_file(ROWS[:1]), "-o", target, "--model", checkpoint)
    assert len(lines(target)) == 3
    again = tmp_path / "again.jsonl"
    again.write_text("mine", "utf-8")
    done = cli("score", target, "-o", again, "--overwrite", "--field", "again", "--model", checkpoint)
    assert done.code == 0
    assert all(row["again"] == row["tinyrm"] for row in lines(again))


def test_a_cut_gz_keeps_its_good_rows_and_tells(mistake, checkpoint, rows_file, tmp_path):
    whole = gzip.compress(rows_file([single(i) for i in range(400)]).read_bytes())
    cut, target = tmp_path / "cut.jsonl.gz", tmp_path / "out.jsonl"
    cut.write_bytes(whole[: len(whole) // 2])
    said = mistake("score", cut, "-o", target, "--model", checkpoint)
    *good, last = lines(target)
    assert [row["id"] for row in good] == list(range(len(good)))
    assert len(good) > 20
    assert "truncated" in last["tinyrm"]["error"]
    assert said == f"cut.jsonl.gz:{len(good) + 1}: {last['tinyrm']['error']}; {len(good)} rows were judged"


def test_a_broken_json_list_keeps_its_good_rows_and_tells(mistake, checkpoint, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(ROWS)[:-20], "utf-8")
    said = mistake("score", tmp_path / "rows.json", "-o", tmp_path / "out.jsonl", "--model", checkpoint)
    assert said.startswith("rows.json item 3: not JSON")
    assert said.endswith("; 2 rows were judged")
    assert len(lines(tmp_path / "out.jsonl")) == 3


def nonsense(tmp_path):
    pq.write_table(pa.table({"x": [1.5, None], "y": ["a", "b"]}), tmp_path / "columns.parquet")
    (tmp_path / "fake.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "nonsense.csv").write_bytes(b'\x00\xff,"\n\n;;;\n,,,,,,\n"')
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "blank.csv").write_bytes(b"prompt,response\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("hello", "utf-8")
    (tmp_path / "rows.docx").write_bytes(b"PK")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("columns.parquet", "no row of .* could be judged; the first is columns.parquet row 1: no response: .* x, y"),
        ("fake.parquet", "fake.parquet is not a readable Parquet file"),
        ("nonsense.csv", "nonsense.csv"),
        ("empty.jsonl", "empty.jsonl holds no rows"),
        ("blank.csv", "blank.csv holds no rows"),
        ("folder", "folder .* holds no file of rows"),
        ("rows.docx", "rows.docx is no file of rows"),
        ("missing.jsonl", "no file or folder at .*missing.jsonl"),
    ],
)
def test_a_source_without_a_good_row_is_a_mistake(mistake, checkpoint, tmp_path, name, said):
    source, target = nonsense(tmp_path) / name, tmp_path / "out.jsonl"
    assert re.search(said, mistake("score", source, "-o", target, "--model", checkpoint))
    if "holds no" in said or "no file" in said:
        assert not list(tmp_path.glob("out.jsonl*"))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("none/out.jsonl", "no folder"),
        ("out.csv", "ends in .jsonl"),
        ("out", "ends in .jsonl"),
        ("taken.jsonl", "exists"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(mistake, rows_file, tmp_path, output, said):
    (tmp_path / "taken.jsonl").write_text("mine", "utf-8")
    assert said in mistake("score", rows_file(ROWS), "-o", tmp_path / output, "--model", "no model either")
    assert (tmp_path / "taken.jsonl").read_text("utf-8") == "mine"


def test_a_model_that_only_compares_says_so(mistake, checkpoint_folder, rows_file, tmp_path):
    folder = checkpoint_folder("bert", ("pair",))
    said = mistake("score", rows_file(ROWS[:1]), "-o", tmp_path / "out.jsonl", "--model", folder)
    assert "random-bert only compares responses" in said


def test_a_reader_that_leaves_early_is_no_mistake(checkpoint, rows_file):
    source = rows_file([single(i) | {"note": "n" * 2000} for i in range(800)])
    process = subprocess.Popen(
        [*COMMAND, source, "--model", checkpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert json.loads(process.stdout.readline())["id"] == 0
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_a_run_that_is_killed_leaves_no_finished_output(checkpoint, tmp_path):
    target, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    process = subprocess.Popen([*COMMAND, "-", "-o", target, "--model", checkpoint], stdin=subprocess.PIPE, text=True)
    process.stdin.write("".join(json.dumps(single(i)) + "\n" for i in range(600)))
    process.stdin.flush()
    until = time.monotonic() + 60
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.05)
    assert partial.stat().st_size > 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    assert not target.exists()


def test_ctrl_c_is_quiet(checkpoint, tmp_path):
    partial = tmp_path / "out.jsonl.partial"
    process = subprocess.Popen(
        [*COMMAND, "-", "-o", tmp_path / "out.jsonl", "--model", checkpoint],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in a shell's background, the signal would be ignored by inheritance.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not partial.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(60)  # its input stays open meanwhile: an end of it would be another reason to end
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "tinyrm: interrupted\n")


def test_nan_in_a_row_becomes_null(cli, tmp_path, checkpoint):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt": "a?", "response": "b", "weight": NaN, "list": [1.5, Infinity]}\n', "utf-8")
    out = tmp_path / "out.jsonl"
    assert cli("score", source, "-o", out, "--model", checkpoint).code == 0

    def refuse(constant):
        raise AssertionError(constant)

    row = json.loads(out.read_text("utf-8"), parse_constant=refuse)
    assert row["weight"] is None
    assert row["list"] == [1.5, None]


def test_the_input_is_never_written_over(mistake, checkpoint, rows_file):
    source = rows_file(ROWS)
    before = source.read_bytes()
    assert "is the input itself" in mistake("score", source, "-o", source, "--overwrite", "--model", checkpoint)
    assert source.read_bytes() == before


def test_a_column_of_the_rows_is_never_written_over(mistake, checkpoint, rows_file, tmp_path):
    said = mistake("score", rows_file(ROWS), "-o", tmp_path / "out.jsonl", "--field", "prompt", "--model", checkpoint)
    assert "name another with --field" in said
    assert not (tmp_path / "out.jsonl").exists()
