from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.serve.batcher import LONGEST_PAUSE, Batcher, Full, Stopped


class Recorder:
    """Answers a question with itself, and keeps every batch; waits at a gate where there is one."""

    def __init__(self, gate=None):
        self.batches: list[list] = []
        self.entered = threading.Event()
        self.gate = gate

    def __call__(self, questions):
        self.batches.append(list(questions))
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        return [("answer", question) for question in questions]

    @property
    def seen(self):
        return [question for batch in self.batches for question in batch]


def batcher(answer, budget=100, max_wait=0.0, capacity=10_000, **more):
    return Batcher(answer, budget=budget, max_wait=max_wait, capacity=capacity, **more)


@settings(max_examples=60)
@given(
    asked=st.lists(st.lists(st.integers(1, 60), max_size=6), max_size=12),
    budget=st.integers(1, 100),
    callers=st.integers(1, 4),
    wait=st.sampled_from([0.0, 0.002]),
)
def test_no_question_is_lost_or_doubled_order_is_kept_and_so_is_the_budget(asked, budget, callers, wait):
    """Questions are (caller, place, size)."""
    recorder = Recorder()
    batches = batcher(recorder, budget, wait)
    questions = [[(who, place, size) for place, size in enumerate(sizes)] for who, sizes in enumerate(asked)]
    with ThreadPoolExecutor(callers) as pool:
        futures = list(pool.map(lambda own: batches.submit(own, [size for *_, size in own]).future, questions))
    for own, future in zip(questions, futures, strict=True):
        assert future.result(10) == [("answer", question) for question in own]
    batches.stop()
    assert sorted(recorder.seen) == sorted(question for own in questions for question in own)
    for batch in recorder.batches:
        assert len(batch) == 1 or sum(size for *_, size in batch) <= budget
    for who in range(len(asked)):
        places = [place for caller, place, _ in recorder.seen if caller == who]
        assert places == sorted(places)
    assert batches.waiting == 0


def test_questions_that_come_while_others_are_computed_share_the_next_batch():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder)
    first = batches.submit(["first"], [1])
    assert recorder.entered.wait(10)
    later = [batches.submit([i], [1]) for i in range(20)]
    gate.set()
    assert [ticket.future.result(10) for ticket in (first, *later)] == [
        [("answer", "first")],
        *([("answer", i)] for i in range(20)),
    ]
    assert recorder.batches == [["first"], list(range(20))]
    batches.stop()


def test_one_who_asks_much_does_not_hold_up_one_who_asks_little():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder, budget=10)
    batches.submit(["first"], [1])
    assert recorder.entered.wait(10)
    batches.submit([("much", i) for i in range(1000)], [1] * 1000)
    batches.submit(["little"], [1])
    gate.set()
    batches.stop()
    assert "little" in recorder.batches[1]


def test_a_lone_question_waits_no_longer_than_told():
    batches = batcher(Recorder(), budget=1000, max_wait=0.2)
    started = time.monotonic()
    batches.submit(["one"], [1]).future.result(10)
    assert 0.2 <= time.monotonic() - started < 5
    started = time.monotonic()
    batches.submit(["large enough"], [1000]).future.result(10)
    assert time.monotonic() - started < 0.15
    batches.stop()


def test_past_its_capacity_it_takes_all_of_a_request_or_nothing():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder, capacity=5)
    batches.submit(["computing"], [1])
    assert recorder.entered.wait(10)
    taken = [batches.submit([0, 1], [1, 1]), batches.submit([2, 3], [1, 1])]
    with pytest.raises(Full) as full:
        batches.submit([4, 5], [1, 1])
    assert 1 <= full.value.retry_after <= LONGEST_PAUSE
    taken.append(batches.submit([6], [1]))
    assert batches.waiting == 5
    taken.append(batches.submit([7, 8], [1, 1], admitted=True))
    gate.set()
    batches.stop()
    assert sorted(recorder.seen[1:]) == [0, 1, 2, 3, 6, 7, 8]
    assert all(ticket.future.done() for ticket in taken)


def test_questions_of_a_caller_who_went_away_are_not_computed():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder)
    batches.submit(["computing"], [1])
    assert recorder.entered.wait(10)
    gone, stays = batches.submit(["gone"] * 3, [1] * 3), batches.submit(["stays"], [1])
    assert batches.waiting == 4
    batches.drop(gone)
    batches.drop(gone)
    assert batches.waiting == 1
    gate.set()
    assert stays.future.result(10) == [("answer", "stays")]
    batches.stop()
    assert recorder.seen == ["computing", "stays"]
    with pytest.raises(CancelledError):
        gone.future.result(0)


def test_questions_past_their_deadline_are_not_computed():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder)
    batches.submit(["computing"], [1])
    assert recorder.entered.wait(10)
    late = batches.submit(["late"], [1], time.monotonic() + 0.01)
    fine = batches.submit(["fine"], [1], time.monotonic() + 60)
    time.sleep(0.05)
    gate.set()
    assert fine.future.result(10)
    with pytest.raises(TimeoutError):
        late.future.result(10)
    batches.stop()
    assert recorder.seen == ["computing", "fine"]


def test_whoever_has_waited_for_half_of_the_time_goes_first():
    gate = threading.Event()
    recorder = Recorder(gate)
    batches = batcher(recorder, budget=4)
    batches.submit(["computing"], [1])
    assert recorder.entered.wait(10)
    waits = batches.submit([("old", i) for i in range(8)], [1] * 8, time.monotonic() + 20)
    waits.half = 0
    for i in range(20):
        batches.submit([("new", i)], [1], time.monotonic() + 20)
    gate.set()
    batches.stop()
    assert recorder.batches[1:3] == [[("old", i) for i in range(4)], [("old", i) for i in range(4, 8)]]
    assert [question for batch in recorder.batches[3:] for question in batch] == [("new", i) for i in range(20)]


def test_no_more_is_taken_on_than_can_be_answered_in_time():
    """Twice the load that can be borne: some are told to come back, the others are answered within their deadline."""

    def answer(questions):
        time.sleep(0.002 * len(questions))
        return questions

    batches = batcher(answer, budget=8, capacity=10_000)
    batches.submit([0] * 20, [1] * 20).future.result(10)  # to know its speed
    taken, refused = [], 0
    for i in range(1000):
        started = time.monotonic()
        try:
            ticket = batches.submit([i], [1], started + 0.4)
        except Full:
            refused += 1
        else:
            ticket.future.add_done_callback(lambda future, s=started: taken.append((time.monotonic() - s, future)))
        time.sleep(0.001)
    batches.stop()
    assert refused > 200
    assert len(taken) + refused == 1000
    assert all(future.exception() is None for _, future in taken)
    assert sorted(seconds for seconds, _ in taken)[int(0.99 * len(taken))] < 0.4


def test_a_bad_question_fails_its_own_caller_and_nobody_else():
    gate = threading.Event()
    gate.set()
    recorder = Recorder()

    def answer(questions):
        gate.wait(10)
        recorder(questions)
        if "bad" in questions:
            raise ValueError("bad")
        return questions

    batches = batcher(answer, max_wait=0.05, budget=1000)
    tickets = [batches.submit(own, [1] * len(own)) for own in ([1, 2], ["bad", 3], [4])]
    assert tickets[0].future.result(10) == [1, 2]
    assert tickets[2].future.result(10) == [4]
    with pytest.raises(ValueError, match="bad"):
        tickets[1].future.result(10)
    assert batches.submit([5], [1]).future.result(10) == [5]
    batches.stop()


def test_it_finishes_what_it_took_and_takes_no_more():
    recorder = Recorder()
    batches = batcher(recorder, budget=3, max_wait=60)
    tickets = [batches.submit([i], [1]) for i in range(2)]
    batches.stop()
    assert [ticket.future.result(0) for ticket in tickets] == [[("answer", 0)], [("answer", 1)]]
    assert not batches.alive
    with pytest.raises(Stopped):
        batches.submit([1], [1])
    assert batches.submit([], []).future.result(0) == []


def test_what_watches_sees_every_question_once():
    watched = []
    batches = batcher(Recorder(), budget=7, watch=lambda *batch: watched.append(batch))
    futures = [batches.submit([i, i], [2, 3]).future for i in range(10)]
    assert all(future.result(10) for future in futures)
    batches.stop()
    assert (sum(n for n, *_ in watched), sum(size for _, size, _ in watched)) == (20, 50)


def test_what_is_done_is_kept_in_no_line():
    """Under a load that is older than half its deadline, all is served in order of coming."""
    batches = batcher(lambda questions: time.sleep(0.002) or questions, budget=1, capacity=10_000)
    waiting: deque = deque()
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        while len(waiting) < 40:
            waiting.append(batches.submit([1], [1], time.monotonic() + 0.12, admitted=True))
        with contextlib.suppress(TimeoutError):
            waiting.popleft().future.result()
    assert len(batches._line) < 200
    assert len(batches._arrived) < 200
    batches.stop()
