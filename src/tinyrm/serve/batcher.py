"""Dynamic batching: questions of many callers, answered together by one thread."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
LONGEST_PAUSE = 60
"""Seconds that a refused caller is asked to wait at most."""


class Full(Exception):
    """The queue has no room; `retry_after` is when it should have, in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full, try again in {retry_after} s")
        self.retry_after = retry_after


class Stopped(Exception):
    """The batcher takes no more questions."""


class Ticket(Generic[Q, A]):
    """The questions of one caller. `future` gets their answers in the order asked, or an error."""

    def __init__(self, questions: Sequence[Q], sizes: Sequence[int], deadline: float) -> None:
        self.future: Future[list[A]] = Future()
        self.questions = questions
        self.sizes = sizes
        self.size = sum(sizes)
        self.deadline = deadline
        now = time.monotonic()
        self.half = now + (deadline - now) / 2
        self.taken = 0
        self.dropped = False
        self.left = len(questions)
        self.answers: list[A | None] = [None] * len(questions)

    @property
    def done(self) -> bool:
        """Whether nothing of it waits."""
        return self.dropped or self.taken == len(self.questions)


class Batcher(Generic[Q, A]):
    """Answers questions in batches of at most `budget` (the sum of their sizes), in a thread of its own.

    A batch starts when it is full or its first question has waited `max_wait` seconds, and takes callers in turn, a
    question each, so that one who asks much does not hold up those who ask little. A question larger than the
    budget goes alone.

    No more is taken on than half of a caller's time should do, and whoever has waited for half of it goes first, in
    the order of coming: so what was taken on is answered in time, if the speed of late holds.

    answer: questions -> their answers, in order. If it fails, each question is asked again alone, so that a bad one
        fails its own caller and nobody else.
    capacity: questions that may wait.
    watch: called after each batch with its questions, its size and its seconds.
    """

    def __init__(
        self,
        answer: Callable[[list[Q]], list[A]],
        *,
        budget: int,
        max_wait: float,
        capacity: int,
        watch: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self._answer = answer
        self.budget = budget
        self._max_wait = max_wait
        self._capacity = capacity
        self._watch = watch
        self._line: deque[Ticket[Q, A]] = deque()
        self._arrived: deque[Ticket[Q, A]] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._waiting_size = 0
        self._first_came = 0.0
        self._rate = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="tinyrm-batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._waiting

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(
        self, questions: Sequence[Q], sizes: Sequence[int], deadline: float = math.inf, *, admitted: bool = False
    ) -> Ticket[Q, A]:
        """Takes all of the questions or none. `deadline` is in the time of time.monotonic().

        admitted: they go on with something that was taken before, so there is room for them.

        Raises:
            Full: there is no room for them. Stopped: the batcher was stopped.
        """
        ticket: Ticket[Q, A] = Ticket(questions, sizes, deadline)
        if not questions:
            ticket.future.set_result([])
            return ticket
        with self._changed:
            if self._stopping:
                raise Stopped("the server is stopping")
            if not admitted and (self._waiting + len(questions) > self._capacity or self._takes_too_long(ticket)):
                raise Full(self._pause())
            if not self._waiting:
                self._first_came = time.monotonic()
            self._line, self._arrived = (self._pruned(line) for line in (self._line, self._arrived))
            self._line.append(ticket)
            self._arrived.append(ticket)
            self._waiting += len(questions)
            self._waiting_size += ticket.size
            self._changed.notify()
        return ticket

    def _pruned(self, line: deque[Ticket[Q, A]]) -> deque[Ticket[Q, A]]:
        """A line without those who are done, once they are many: each line loses its own alone as it is served."""
        if len(line) <= 2 * self._waiting + 64:
            return line
        return deque(ticket for ticket in line if not ticket.done)

    def drop(self, ticket: Ticket[Q, A]) -> None:
        """Forgets the questions of a caller who went away, those being computed excepted."""
        with self._changed:
            self._drop(ticket)
        ticket.future.cancel()

    def stop(self) -> None:
        """Answers what was taken, then ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _takes_too_long(self, ticket: Ticket[Q, A]) -> bool:
        if not self._waiting or not self._rate:
            return False  # whoever comes first may try
        return time.monotonic() + (self._waiting_size + ticket.size) / self._rate > ticket.half

    def _pause(self) -> int:
        """Seconds until half of what waits should be done."""
        seconds = self._waiting_size / self._rate / 2 if self._rate else 1.0
        return max(1, min(LONGEST_PAUSE, math.ceil(seconds)))

    def _drop(self, ticket: Ticket[Q, A]) -> None:
        if not ticket.dropped:
            ticket.dropped = True
            self._waiting -= len(ticket.questions) - ticket.taken
            self._waiting_size -= sum(ticket.sizes[ticket.taken :])

    def _run(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            size = sum(ticket.sizes[place] for ticket, place in batch)
            self._settle(batch)
            seconds = time.monotonic() - started
            rate = size / max(seconds, 1e-6)
            self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate
            if self._watch is not None:
                self._watch(len(batch), size, seconds)

    def _take(self) -> list[tuple[Ticket[Q, A], int]]:
        """The next batch: (ticket, place of the question in it); empty when all is done."""
        batch: list[tuple[Ticket[Q, A], int]] = []
        with self._changed:
            while not batch:
                if not self._waiting:
                    self._line.clear()  # of what was dropped or taken out of turn
                    self._arrived.clear()
                    if self._stopping:
                        break
                    self._changed.wait()
                    continue
                pause = self._first_came + self._max_wait - time.monotonic()
                if pause > 0 and self._waiting_size < self.budget and not self._stopping:
                    self._changed.wait(pause)
                else:
                    self._fill(batch)
        return batch

    def _fill(self, batch: list[tuple[Ticket[Q, A], int]]) -> None:
        now, size = time.monotonic(), 0
        while self._waiting:
            line = self._arrived if self._next(self._arrived).half < now else self._line
            ticket = self._next(line)
            if now > ticket.deadline:
                self._drop(ticket)
                _fail(ticket, TimeoutError("the deadline passed before there was time for this request"))
                continue
            next_size = ticket.sizes[ticket.taken]
            if batch and size + next_size > self.budget:
                break
            batch.append((ticket, ticket.taken))
            size += next_size
            ticket.taken += 1
            self._waiting -= 1
            self._waiting_size -= next_size
            if line is self._line:
                line.rotate(-1)

    @staticmethod
    def _next(line: deque[Ticket[Q, A]]) -> Ticket[Q, A]:
        while line[0].done:
            line.popleft()
        return line[0]

    def _settle(self, batch: list[tuple[Ticket[Q, A], int]]) -> None:
        """Computes a batch and hands out its answers."""
        try:
            answers = self._answer([ticket.questions[place] for ticket, place in batch])
        except Exception as problem:
            if len(batch) == 1:
                ((ticket, _),) = batch
                with self._changed:
                    self._drop(ticket)
                _fail(ticket, problem)
            else:
                for one in batch:
                    if not one[0].dropped:
                        self._settle([one])
            return
        for (ticket, place), answer in zip(batch, answers, strict=True):
            ticket.answers[place] = answer
            ticket.left -= 1
            if not ticket.left and ticket.future.set_running_or_notify_cancel():
                ticket.future.set_result(ticket.answers)  # type: ignore[arg-type]


def _fail(ticket: Ticket[Q, A], problem: Exception) -> None:
    if not ticket.future.done() and ticket.future.set_running_or_notify_cancel():
        ticket.future.set_exception(problem)
