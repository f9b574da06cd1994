"""A cluster's outcome is a local run's, whoever dies on the way."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import tinyrm
from tinyrm.data import read_rows
from tinyrm.errors import UserError
from tinyrm.infer.scoring import WINDOW
from tinyrm.scale import score_file
from tinyrm.scale.output import to_line

ROWS = 9 * WINDOW + 17
# The test's cluster lets in who knows this; Ray reads it when it is imported.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}


def test_without_ray_its_extra_is_named(checkpoint_folder, tmp_path):
    code = "import sys; sys.modules['ray'] = None\nfrom tinyrm.cli import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["score", "rows.jsonl", "-o", tmp_path / "out.jsonl", "--engine", "ray"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinyrm: this needs ray, which is not installed: pip install 'tinyrm[ray]'\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of shards in two formats, with bad rows."""
    folder = tmp_path_factory.mktemp("shards")
    lines = ["garbage" if i % 97 == 50 else json.dumps(row(i)) for i in range(ROWS)]
    for number, start in enumerate(range(0, ROWS, 700)):
        (folder / f"{number}.jsonl").write_text("\n".join(lines[start : start + 700]), "utf-8")
    return folder


def row(i: int) -> dict:
    said = " ".join(["yes", "no", "good", "a"][(i * k) % 4] for k in range(i % 23))
    if i % 7 == 3:
        return {"prompt": f"what is {i}?", "chosen": said, "rejected": "no", "id": i}
    return {"prompt": f"what is {i}?", "response": said, "odd": [i / 7, None, {"ü": float("nan")}]}


@pytest.fixture(scope="module")
def local(exported_folder, source, tmp_path_factory):
    path = tmp_path_factory.mktemp("local") / "out.jsonl"
    scored = score_file(tinyrm.load(exported_folder("bert")), source, path)
    assert (scored.rows, scored.bad) == (ROWS, sum(i % 97 == 50 for i in range(ROWS)))
    return path.read_bytes()


@contextmanager
def running_cluster():
    """The address of a Ray cluster on this machine that outlives the runs on it."""
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray_command = Path(sys.executable).with_name("ray")
    settings = ["--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    with subprocess.Popen([ray_command, "start", *settings], stdout=subprocess.DEVNULL) as head:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert head.poll() is None, f"Ray {ray.__version__} did not start"
                time.sleep(0.2)
            time.sleep(2)  # the node joins a moment after the address answers
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()


@pytest.fixture(scope="module")
def address():
    with running_cluster() as address:
        yield address


@pytest.fixture
def cluster(address, exported_folder):
    from tinyrm.scale.ray_cluster import RayCluster

    with RayCluster(exported_folder("bert"), address=address) as cluster:
        yield cluster


@pytest.mark.peers
def test_more_workers_than_there_is_room_for(address, exported_folder, monkeypatch):
    from tinyrm.scale import ray_cluster

    monkeypatch.setattr(ray_cluster, "START", 20.0)
    with pytest.raises(UserError, match="no room for worker 3 of 3"):
        ray_cluster.RayCluster(exported_folder("bert"), address=address, workers=3).__enter__()


@pytest.mark.peers
def test_the_outcome_is_that_of_a_local_run(cluster, source, local, tmp_path, notes):
    scored = score_file(cluster, source, tmp_path / "out.jsonl", judging=cluster.judge, watcher=notes)
    assert (tmp_path / "out.jsonl").read_bytes() == local
    assert (scored.rows, scored.resumed) == (ROWS, 0)
    assert notes.done["judging"] == (ROWS, ROWS)
    assert cluster.describe().startswith("2 workers of Ray")
    model = tinyrm.load(cluster._model)
    score_file(model, source, tmp_path / "again.jsonl")
    assert cluster.tokens == model.tokens > 0


@pytest.mark.peers
def test_a_killed_workers_window_is_judged_again(cluster, source, local, tmp_path):
    import ray

    killed = []

    class Kills:
        def notice(self, text): ...

        def progress(self, label, done, total, detail=""):
            if done // WINDOW in (1, 3, 5):
                worker = cluster._actors[len(killed) % 2]
                killed.append(ray.get(worker.__ray_call__.remote(lambda _: os.getpid())))
                os.kill(killed[-1], signal.SIGKILL)

    score_file(cluster, source, tmp_path / "out.jsonl", judging=cluster.judge, watcher=Kills())
    assert len(set(killed)) == 3
    assert (tmp_path / "out.jsonl").read_bytes() == local


class Poisoned:
    def judge(self, rows, field, on_bad_row):
        os._exit(1)


@pytest.mark.peers
def test_rows_that_kill_every_worker_end_the_run(cluster, source):
    import ray

    from tinyrm.scale.ray_cluster import RETRIES

    for worker in cluster._actors:
        ray.kill(worker)
    actor = ray.remote(max_restarts=-1, max_task_retries=RETRIES)(Poisoned)
    cluster._actors = [actor.remote()]
    with pytest.raises(UserError, match=r"the rows from 0.jsonl:1 on could not be judged: their worker died 4 times"):
        next(cluster.judge(read_rows(source)))


@pytest.mark.peers
def test_the_command_is_killed_again_and_again(address, exported_folder, source, local, tmp_path):
    target, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    command = [sys.executable, "-m", "tinyrm", "score", source, "-o", target, "--model", exported_folder("bert")]
    command += ["--engine", "ray", "--ray-address", address]
    grown = 0
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if partial.exists() and partial.stat().st_size > grown:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        grown = partial.stat().st_size if partial.exists() else len(local)
        assert grown > 0
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "judging with 2 workers of Ray" in done.stderr
    assert target.read_bytes() == local
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.peers
def test_refusing_stops_as_a_local_run_does(cluster, exported_folder, source, tmp_path):
    kept = []
    for name, model, judging in (
        ("ray", cluster, cluster.judge),
        ("local", tinyrm.load(exported_folder("bert")), None),
    ):
        target = tmp_path / f"{name}.jsonl"
        with pytest.raises(UserError, match=r"0.jsonl:51: not JSON"):
            score_file(model, source, target, on_bad_row="refuse", judging=judging)
        kept.append(target.with_name(f"{name}.jsonl.partial").read_bytes())
    assert kept[0] == kept[1]
    assert len(kept[0].splitlines()) == 50


@pytest.mark.peers
def test_a_reader_that_fails_is_told_after_the_rows_before(cluster, source, local, tmp_path):
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "0.jsonl").write_bytes((source / "0.jsonl").read_bytes())
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["a"], "response": ["b"]}), folder / "1.parquet")
    (folder / "1.parquet").write_bytes((folder / "1.parquet").read_bytes()[:-20])
    found: list[dict] = []
    with pytest.raises(UserError, match="not a readable Parquet file"):
        collect(cluster.judge(read_rows(folder)), found)
    assert len(found) == 700 // WINDOW * WINDOW
    assert local.startswith("".join(map(to_line, found)).encode("utf-8"))


def collect(rows, found: list[dict]) -> None:
    for row in rows:
        found.append(row)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"), ("nonsense", "is no address of a Ray cluster")],
)
def test_no_cluster_is_one_sentence_at_once(address, said, exported_folder):
    from tinyrm.scale.ray_cluster import RayCluster

    started = time.monotonic()
    with pytest.raises(UserError, match=said), RayCluster(exported_folder("bert"), address=address):
        pass
    assert time.monotonic() - started < 30


@pytest.mark.peers
def test_a_worker_without_the_model_says_why(address, exported_folder):
    from tinyrm.scale.ray_cluster import RayCluster

    with (
        pytest.raises(UserError, match=r"worker 1 of the Ray cluster: .* holds no model.safetensors for torch"),
        RayCluster(exported_folder("bert"), backend="torch", address=address),
    ):
        pass
