"""Servers as processes: signals, workers, overload."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException

import httpx
import psutil
import pytest

SAME = {"abs": 2e-5, "rel": 0}


class Load:
    """Callers that ask one thing after another until told to stop; each request on a connection of its own."""

    def __init__(self, url, callers, body=None):
        self.answers: list[tuple[int, float]] = []
        """(which question, reward) of each that was answered."""
        self.statuses: list[int] = []
        self.broken: list[Exception] = []
        """Connections that were accepted and then closed without an answer."""
        self.refused = 0
        self._host = url.removeprefix("http://")
        self._body = body or (lambda i: {"prompt": "what is a?", "response": question(i)})
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(callers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, i):
        while not self._stop.is_set():
            connection = HTTPConnection(self._host, timeout=60)
            try:
                connection.request("POST", "/v1/score", json.dumps(self._body(i)), {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except ConnectionRefusedError:
                self.refused += 1
                time.sleep(0.02)
            except (OSError, HTTPException) as problem:
                self.broken.append(problem)
            else:
                self.statuses.append(response.status)
                if response.status == 200:
                    self.answers.append((i, answer["reward"]))
            connection.close()
            i = (i + 7) % 26


def question(i):
    return " ".join(chr(97 + (i + k) % 26) for k in range(1 + i))


def test_it_says_where_it_is_and_stops_with_zero(process, exported_folder):
    server = process("--model", exported_folder("bert"))
    assert server.said(r"ready: (random-bert \(ONNX Runtime \S+ on the CPU\)) at http://127\.0\.0\.1:\d+")
    assert httpx.get(f"{server.url}/ready").status_code == 200
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):  # an idle caller keeps nobody from leaving
        assert server.stop() == 0


def test_a_stopping_server_answers_what_it_took(process, exported_folder):
    """Every request that it counted as answered has arrived; none was taken and then dropped."""
    server = process("--model", exported_folder("bert"), "--max-wait-ms", 50)
    with Load(server.url, 12) as load:
        while len(load.answers) < 30:
            time.sleep(0.01)
        assert server.stop() == 0
    answered = int(server.said(r"stopped: (\d+) requests answered"))
    assert answered == len(load.statuses)
    assert set(load.statuses) == {200}
    assert load.refused > 0


def test_a_worker_that_is_killed_comes_back_and_no_answer_is_wrong(process, exported_folder, both):
    server = process("--model", exported_folder("bert"), "--workers", 2)
    first = [int(server.said(r"ready: worker (\d+)", times=n)) for n in (1, 2)]
    expected = {i: both.score("what is a?", question(i)).logit for i in range(26)}
    with Load(server.url, 8) as load:
        while len(load.answers) < 30:
            time.sleep(0.01)
        os.kill(first[0], signal.SIGKILL)
        before = len(load.answers)
        third = int(server.said(r"ready: worker (\d+)", times=3))
        while len(load.answers) < before + 30:
            time.sleep(0.01)
    assert third not in first
    assert set(load.statuses) == {200}
    assert len(load.broken) <= 8  # what the killed worker had in hand: one a caller at most
    for i, reward in load.answers:
        assert reward == pytest.approx(expected[i], **SAME)
    metrics = httpx.get(f"{server.url}/metrics").text
    counted = sum(float(n) for n in re.findall(r'tinyrm_requests_total\{.*status="200".*\} (\S+)', metrics))
    assert counted >= len(load.answers)
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert server.stop() == 0
    psutil.wait_procs(children, timeout=10)  # multiprocessing's own helper ends a moment after its parent
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_several_workers_end_as_one_would(process, exported_folder, tmp_path):
    server = process("--model", exported_folder("bert"), "--workers", 2)
    server.said(r"ready: worker (\d+)", times=2)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 130
    model = shutil.copytree(exported_folder("bert"), tmp_path / "model")
    broken = process("--model", model, "--workers", 2)
    shutil.rmtree(model)  # after the parent has looked, before the workers have
    assert broken.process.wait(60) == 2
    broken.said("a worker cannot start")


def test_past_the_queue_there_is_only_429(process):
    """The model of the package, slow enough to be overrun."""
    server = process("--queue", 4, "--max-items", 2, "--deadline", 20)
    with Load(server.url, 16, lambda i: {"prompt": "What is this?", "response": "word " * (200 + i)}) as load:
        while len(load.answers) < 5 or 429 not in load.statuses:
            time.sleep(0.05)
            assert httpx.get(f"{server.url}/health").status_code == 200
        response = None
        while response is None or response.status_code != 429:
            response = httpx.post(f"{server.url}/v1/score", json={"prompt": "a", "response": "b"}, timeout=30)
    assert set(load.statuses) == {200, 429}
    assert not load.broken
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.json()["error"]["type"] == "RateLimitError"
    assert httpx.post(f"{server.url}/v1/score", json={"prompt": "a", "response": "b"}).status_code == 200
    assert server.stop() == 0


def test_questions_of_callers_who_went_away_are_dropped_and_late_ones_told_so(process):
    server = process("--deadline", 1.5, "--max-tokens-per-batch", 512)
    body = json.dumps({"prompt": "What is this?", "responses": [f"{i} " + "word " * 600 for i in range(120)]}).encode()
    head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _until(lambda: _metric(server.url, "tinyrm_waiting_questions") > 50)
    _until(lambda: _metric(server.url, "tinyrm_waiting_questions") == 0)
    assert _metric(server.url, "tinyrm_questions_total") < 60
    late = httpx.post(f"{server.url}/v1/score", content=body, headers={"Content-Type": "application/json"}, timeout=30)
    assert (late.status_code, late.json()["error"]["type"]) == (504, "DeadlineExceededError")
    assert _metric(server.url, "tinyrm_waiting_questions") == 0
    assert httpx.post(f"{server.url}/v1/score", json={"prompt": "a", "response": "b"}, timeout=30).status_code == 200
    assert server.stop() == 0


def _metric(url, name):
    return float(re.search(rf"^{name} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)[1])


def _until(true, within=20):
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_again_and_again_under_load_nothing_taken_is_lost(process, exported_folder, workers):
    for _ in range(5):
        server = process("--model", exported_folder("bert"), "--workers", workers, "--max-wait-ms", 20)
        server.said(r"(ready:)", times=workers)
        with Load(server.url, 24) as load:
            time.sleep(1)
            assert server.stop() == 0
        answered = sum(int(n) for n in re.findall(r"stopped: (\d+) requests answered", "".join(server.lines)))
        assert answered == len(load.statuses)
        assert set(load.statuses) == {200}


@pytest.mark.slow
def test_memory_stays_flat_under_twice_the_load(process):
    server = process("--queue", 64, "--max-items", 8)
    alive = psutil.Process(server.process.pid)
    with Load(server.url, 64, lambda i: {"prompt": "What is this?", "response": "word " * (5 + i)}) as load:
        time.sleep(20)
        early = alive.memory_info().rss
        time.sleep(60)
        late = alive.memory_info().rss
    assert late < 1.1 * early
    assert set(load.statuses) <= {200, 429}
    assert server.stop() == 0


def test_a_port_that_is_taken(exported_folder):
    from tinyrm.errors import UserError
    from tinyrm.serve import Settings
    from tinyrm.serve.run import serve

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot listen at 127"):
        serve(Settings(port=taken.getsockname()[1]), print)
    with pytest.raises(UserError, match="cannot listen at no"):
        serve(Settings(host="no.such.host.invalid"), print)
    with pytest.raises(UserError, match="no model at"):
        serve(Settings(model="./nowhere", port=0), print)
