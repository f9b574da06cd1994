"""A run that is killed and started again writes what an unbroken one writes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrm
from tinyrm.errors import UserError
from tinyrm.infer.scoring import WINDOW
from tinyrm.scale import score_file

ROWS = 5 * WINDOW + 17
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""For processes beside this one, which has one too: the last bits of torch's sums hang on their number."""


def row(i: int) -> dict:
    rng = random.Random(i)
    words = " ".join(rng.choices(["yes", "no", "good", "bad", "a", "b"], k=rng.randint(0, 30)))
    odd = {0: float("nan"), 1: "ü\u2028\n", 2: None, 3: [1, {"x": 2}]}[i % 4]
    if i % 7 == 3:
        return {"prompt": f"what is {i}?", "chosen": words, "rejected": "no", "odd": odd}
    if i % 7 == 5:
        return {"prompt": f"what is {i}?", "responses": [words, "yes", "no"], "odd": odd, "tinyrm": {"old": i}}
    return {"prompt": f"what is {i}?", "response": words, "odd": odd}


@pytest.fixture(scope="module")
def judge(checkpoint_folder):
    return tinyrm.load(checkpoint_folder("bert"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = ["garbage" if i % 97 == 50 else json.dumps(row(i)) for i in range(ROWS)]
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def unbroken(judge, source, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "out.jsonl"
    scored = score_file(judge, source, path)
    assert (scored.rows, scored.resumed) == (ROWS, 0)
    assert scored.bad == sum(i % 97 == 50 for i in range(ROWS))
    assert [p.name for p in path.parent.iterdir()] == ["out.jsonl"]
    return path.read_bytes()


def begin(judge, source, folder, keep: int):
    """An unfinished run of which `keep` bytes were written."""
    target = folder / "out.jsonl"

    class Stop(BaseException):
        pass

    class Stops:
        def notice(self, text): ...

        def progress(self, label, done, total, detail=""):
            assert total == ROWS
            if done >= ROWS:
                raise Stop

    with pytest.raises(Stop):
        score_file(judge, source, target, watcher=Stops())
    partial = folder / "out.jsonl.partial"
    partial.write_bytes(partial.read_bytes()[:keep])
    return target


@settings(max_examples=8)
@given(share=st.floats(0, 1), seed=st.integers(0, 10**9))
def test_cut_anywhere_it_ends_as_an_unbroken_run(judge, source, unbroken, tmp_path_factory, share, seed):
    folder = tmp_path_factory.mktemp("cut")
    target = begin(judge, source, folder, keep=round(share * len(unbroken)))
    scored = score_file(judge, source, target)
    assert target.read_bytes() == unbroken
    assert scored.rows == ROWS
    assert scored.resumed % WINDOW == 0
    assert [p.name for p in folder.iterdir()] == ["out.jsonl"]


def test_killed_again_and_again(checkpoint_folder, source, unbroken, tmp_path):
    target = tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    command = [sys.executable, "-m", "tinyrm", "score", source, "-o", target, "--model", checkpoint_folder("bert")]
    grown = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ONE_THREAD)
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if partial.exists() and partial.stat().st_size > grown:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        grown = partial.stat().st_size if partial.exists() else len(unbroken)
        assert grown > 0
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=ONE_THREAD)
    assert target.read_bytes() == unbroken
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_unfinished_run_of_other_rows_or_another_model_is_not_gone_on_with(
    judge, checkpoint_folder, source, unbroken, tmp_path
):
    target = begin(judge, source, tmp_path, keep=len(unbroken) - 1)
    kept = (tmp_path / "out.jsonl.partial").read_bytes()
    lines = source.read_text("utf-8").split("\n")
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join([*lines[:30], lines[31], *lines[31:]]), "utf-8")
    with pytest.raises(UserError, match=r"line 31 of .*out.jsonl.partial is not of changed.jsonl:31"):
        score_file(judge, changed, target)
    changed.write_text("\n".join(lines[:30]), "utf-8")
    with pytest.raises(UserError, match=r"line 31 .* the end of the input"):
        score_file(judge, changed, target)
    with pytest.raises(UserError, match="begun with another model"):
        score_file(tinyrm.load(checkpoint_folder("modernbert")), source, target)
    with pytest.raises(UserError, match="begun with another"):
        score_file(judge, source, target, field="other")
    judge.backend.computes, computes = "something else", judge.backend.computes
    with pytest.raises(UserError, match="another model, column, back-end"):
        score_file(judge, source, target)
    judge.backend.computes = computes
    with pytest.raises(UserError, match="nowhere"):
        score_file(judge, tmp_path / "nowhere.jsonl", target)
    assert (tmp_path / "out.jsonl.partial").read_bytes() == kept
    score_file(judge, source, target, overwrite=True)
    assert target.read_bytes() == unbroken


def test_an_output_inside_the_input_is_refused(judge, source, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(source.read_bytes())
    with pytest.raises(UserError, match="inside the input"):
        score_file(judge, folder, folder / "out.jsonl")
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


def test_two_runs_on_one_output(judge, source, tmp_path, unbroken):
    target = tmp_path / "out.jsonl"

    class Second:
        def notice(self, text): ...

        def progress(self, label, done, total, detail=""):
            with pytest.raises(UserError, match="another run is writing"):
                score_file(judge, source, target, overwrite=True)

    score_file(judge, source, target, watcher=Second())
    assert target.read_bytes() == unbroken


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_full_disk_keeps_what_was_judged(checkpoint_folder, source, unbroken, tmp_path):
    target = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "tinyrm", "score", source, "-o", target, "--model", checkpoint_folder("bert")]

    def small_disk():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(unbroken) // 2, len(unbroken) // 2))

    failed = subprocess.run(command, preexec_fn=small_disk, capture_output=True, text=True, env=ONE_THREAD)
    assert failed.returncode == 2
    assert "cannot be written: File too large; what was judged so far stands in" in failed.stderr
    assert "Traceback" not in failed.stderr
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ONE_THREAD)
    assert f"{WINDOW * 2:,} rows were judged by an earlier run" in done.stderr
    assert target.read_bytes() == unbroken


def test_gzip_and_parquet_hold_the_same_rows(judge, source, unbroken, tmp_path):
    import gzip

    import pyarrow.parquet

    whole = [json.loads(line) for line in unbroken.splitlines()]
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        score_file(judge, source, tmp_path / name)
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == unbroken
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()

    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(json.dumps({**line, "odd": 1.5}) + "\n" for line in whole), "utf-8")
    score_file(judge, plain, tmp_path / "out.parquet", field="again")
    rows = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert len(rows) == ROWS
    for found, line in zip(rows, whole, strict=True):
        assert found["prompt"] == line.get("prompt")
        for column in ("tinyrm", "again"):
            judged = {
                key: value for key, value in found[column].items() if value is not None and key not in ("cut", "cuts")
            }
            expected = {key: value for key, value in line["tinyrm"].items() if key not in ("cut", "cuts")}
            assert judged.keys() == expected.keys()
            assert judged.get("reward") == expected.get("reward")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl.gz", "b.jsonl.gz", "out.parquet", "plain.jsonl"]


def test_rows_that_fit_no_table_are_kept_as_lines(judge, source, unbroken, tmp_path):
    with pytest.raises(UserError, match=r"do not fit into one Parquet table.*out.parquet.partial"):
        score_file(judge, source, tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet.partial").read_bytes() == unbroken
    assert not (tmp_path / "out.parquet.tmp").exists()


def test_refusing_stops_with_the_rows_before_kept(judge, source, tmp_path):
    target = tmp_path / "out.jsonl"
    for _ in range(2):
        with pytest.raises(UserError, match=r"rows.jsonl:51: not JSON"):
            score_file(judge, source, target, on_bad_row="refuse")
        assert not target.exists()
        assert len((tmp_path / "out.jsonl.partial").read_bytes().splitlines()) == 50
