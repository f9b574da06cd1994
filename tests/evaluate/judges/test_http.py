from __future__ import annotations

import email.utils
import threading
import time
from collections import Counter

import pytest

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import http
from tinyrm.evaluate.judges.http import Client, Refused, public


@pytest.fixture
def counts():
    return Counter()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asks", [{"Retry-After": "0.2"}, {}])
def test_a_busy_server_is_waited_for(server, counts, status, asks):
    replies = [(status, {}, asks), (200, {"fine": True})]
    running = server(lambda path, body, headers: replies.pop(0))
    start = time.perf_counter()
    assert Client(running.url, counts).post({"a": 1}, "/x") == {"fine": True}
    assert 0.1 < time.perf_counter() - start < 3
    assert [(asked.path, asked.body) for asked in running.asked] == [("/x", {"a": 1})] * 2
    assert counts == {"retries": 1}


@pytest.mark.parametrize(("said", "seconds"), [(None, None), ("7", 7.0), ("-3", 0.0), ("soon", None)])
def test_retry_after(said, seconds):
    assert http._seconds(said) == seconds


def test_retry_after_a_date():
    assert 8 < http._seconds(email.utils.formatdate(time.time() + 10, usegmt=True)) <= 10
    assert http._seconds(email.utils.formatdate(time.time() - 10, usegmt=True)) == 0


def test_patience_ends(server, counts, monkeypatch):
    monkeypatch.setattr(http, "TRIES", 3)
    running = server(lambda path, body, headers: (503, {"error": "loading"}, {"Retry-After": "0"}))
    with pytest.raises(Refused, match=r"answered 503: .*loading"):
        Client(running.url, counts).post({})
    assert len(running.asked) == 3


def test_refusals_are_final_and_one_sentence(server, counts):
    running = server(lambda path, body, headers: (422, {"error": "too long\nby far" + "." * 1000}))
    with pytest.raises(Refused) as error:
        Client(running.url, counts).post({})
    assert error.value.status == 422
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert len(running.asked) == 1


def test_answers_that_are_no_json(server, counts):
    running = server(lambda path, body, headers: (200, b"<html>"))
    with pytest.raises(UserError, match="no JSON"):
        Client(running.url, counts).post({})


def test_nobody_there(counts, monkeypatch):
    monkeypatch.setattr(http, "TRIES", 2)
    with pytest.raises(UserError, match=r"no answer from http://127.0.0.1:9/x: ConnectError"):
        Client("http://127.0.0.1:9/x", counts).post({})


def test_a_server_that_takes_too_long_is_not_asked_twice(server, counts, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT", 0.2)
    running = server(lambda path, body, headers: (time.sleep(0.6), (200, {}))[1])
    with pytest.raises(UserError, match="ReadTimeout"):
        Client(running.url, counts).post({})
    assert len(running.asked) == 1


def test_some_at_a_time_and_in_order(server, counts):
    lock, now, most = threading.Lock(), 0, 0

    def answer(path, body, headers):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01 * (body["i"] % 3))
        with lock:
            now -= 1
        return 200, body["i"]

    client, told = Client(server(answer).url, counts), []
    assert client.map(lambda i: client.post({"i": i}), range(40), told.append) == list(range(40))
    assert sum(told) == 40
    assert 1 < most <= http.CONCURRENCY


def test_the_first_failure_ends_it(server, counts):
    running = server(lambda path, body, headers: (400, {}) if body["i"] == 3 else (200, {}))
    client = Client(running.url, counts)
    with pytest.raises(Refused):
        client.map(lambda i: client.post({"i": i}), range(500), lambda done: None)
    assert len(running.asked) < 400


def test_secrets_stay_out_of_names(counts):
    assert public("https://me:secret@host:8000/v1/x?key=secret") == "https://host:8000/v1/x"
    assert public("http://[::1]:80/") == "http://[::1]:80/"
    with pytest.raises(UserError, match="no host with a port"):
        public("http://me:secret@host:no/")
    for wrong in ("host:80", "ftp://host", "http:///path"):
        with pytest.raises(UserError, match="no address of a server"):
            Client(wrong, counts)


def test_a_key_from_a_file_may_end_its_line_and_no_key_is_told(server, counts, monkeypatch):
    running = server(lambda path, body, headers: (200, {"fine": True}))
    monkeypatch.setenv("JUDGE_TOKEN", "secret\n")
    assert Client(running.url, counts).post({}) == {"fine": True}
    monkeypatch.setenv("JUDGE_TOKEN", "sec\nret")
    with pytest.raises(UserError, match="JUDGE_TOKEN holds characters") as error:
        Client(running.url, counts)
    assert "ret" not in str(error.value)
