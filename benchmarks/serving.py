"""A server under load, on this machine with its callers: throughput, latency, and what happens at twice what it bears.

    python benchmarks/serving.py [--seconds 20] [--model PATH] [serve options ...]

First one caller after the other (a loop of single calls, over HTTP and in this process), then many at once; then
callers who come at random at several shares of the best throughput, whether or not others are still being served.
Callers write HTTP by hand, for they share the CPU with what they measure. Writes serving.csv.
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil

import tinyrm

CALLERS = (1, 2, 4, 8, 16, 32, 64)
SHARES = (0.5, 0.8, 1.0, 2.0)
DEADLINE = 30
HEADER = "case,callers,asked per s,answered per s,p50 ms,p99 ms,answered,429,other,MiB early,MiB late".split(",")  # noqa: SIM905
WORDS = "the a of river stone light four seven blue green says asks where when because city name small large".split()  # noqa: SIM905


class Row(NamedTuple):
    case: str
    callers: int | str
    offered: float | str
    seconds: float
    latencies: list[float]
    statuses: Counter[int]
    early: float
    late: float

    def cells(self) -> list[str]:
        ordered = sorted(self.latencies) or [float("nan")]
        answered, refused = self.statuses[200], self.statuses[429]
        return [
            self.case,
            str(self.callers),
            self.offered if isinstance(self.offered, str) else f"{self.offered:.1f}",
            f"{answered / self.seconds:.1f}",
            *(f"{1000 * ordered[int(q * (len(ordered) - 1))]:.1f}" for q in (0.5, 0.99)),
            str(answered),
            str(refused),
            str(sum(self.statuses.values()) - answered - refused),
            f"{self.early:.0f}",
            f"{self.late:.0f}",
        ]


def question(i: int) -> dict[str, str]:
    """A short prompt and response, each of its own, so that nothing is computed once for many."""
    rng = random.Random(i)
    return {"prompt": f"What is {' '.join(rng.choices(WORDS, k=4))}?", "response": " ".join(rng.choices(WORDS, k=10))}


class Caller:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, i: int) -> tuple[int, float]:
        """Status and seconds."""
        body = json.dumps(question(i)).encode()
        started = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, int(self._port))
        reader, writer = self._streams
        head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))  # type: ignore[index]
        return int(answer[9:12]), time.perf_counter() - started

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()


async def closed_loop(url: str, callers: int, seconds: float, server: psutil.Process) -> Row:
    """Callers who each wait for an answer before they ask again."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    started = time.perf_counter()
    early = memory(server)

    async def work(first: int) -> None:
        caller, i = Caller(url), first
        while time.perf_counter() - started < seconds:
            status, took = await caller.ask(i)
            statuses[status] += 1
            if status == 200:
                latencies.append(took)
            i += callers
        caller.close()

    await asyncio.gather(*(work(n) for n in range(callers)))
    took = time.perf_counter() - started
    name = "a loop of single calls" if callers == 1 else "callers at once"
    return Row(name, callers, "", took, latencies, statuses, early, memory(server))


async def open_loop(url: str, rate: float, seconds: float, share: float, server: psutil.Process) -> Row:
    """Callers who come at random, `rate` a second on average, whoever else is waiting."""
    rng, latencies, statuses, idle = random.Random(0), [], Counter[int](), [Caller(url)]
    tasks: set[asyncio.Task[None]] = set()

    async def ask(i: int) -> None:
        caller = idle.pop() if idle else Caller(url)
        try:
            status, took = await caller.ask(i)
        except (OSError, asyncio.IncompleteReadError):
            statuses[0] += 1
            return
        idle.append(caller)
        statuses[status] += 1
        if status == 200:
            latencies.append(took)

    started, arrival, i, early = time.perf_counter(), 0.0, 0, 0.0
    while arrival < seconds:
        await asyncio.sleep(max(0.0, started + arrival - time.perf_counter()))
        tasks.add(task := asyncio.create_task(ask(i)))
        task.add_done_callback(tasks.discard)
        if not early and arrival > seconds / 4:
            early = memory(server)
        arrival, i = arrival + rng.expovariate(rate), i + 1
    late = memory(server)
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    for caller in idle:
        caller.close()
    return Row(f"{share:g} of the best throughput", "", i / seconds, took, latencies, statuses, early, late)


def memory(server: psutil.Process) -> float:
    return sum(one.memory_info().rss for one in (server, *server.children(recursive=True))) / 2**20


def in_process(model: str | None, seconds: float) -> Row:
    judge = tinyrm.load(model)
    judge.score("a", "b")
    latencies, started = [], time.perf_counter()
    while time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        asked = question(len(latencies))
        judge.score(asked["prompt"], asked["response"])
        latencies.append(time.perf_counter() - begun)
    took, used = time.perf_counter() - started, memory(psutil.Process())
    return Row("a loop of model.score, no server", "", "", took, latencies, Counter({200: len(latencies)}), used, used)


def main(arguments: list[str]) -> None:
    seconds, model, options = 20.0, None, []
    words = iter(arguments)
    for word in words:
        if word == "--seconds":
            seconds = float(next(words))
        elif word == "--model":
            model = next(words)
            options += [word, model]
        else:
            options.append(word)
    command = [sys.executable, "-m", "tinyrm", "serve", "--port", "0", "--deadline", str(DEADLINE), *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    while not (found := re.search(r" at (http://\S+)", line)):
        line = server.stderr.readline()
    process = psutil.Process(server.pid)
    try:
        rows = [asyncio.run(closed_loop(found[1], n, seconds, process)) for n in CALLERS]
        best = max(row.statuses[200] / row.seconds for row in rows)
        # Twice the load for long enough that the queue fills and what is taken on comes to its deadline.
        for share in SHARES:
            long = max(seconds, 2 * DEADLINE) if share > 1 else seconds
            rows.append(asyncio.run(open_loop(found[1], share * best, long, share, process)))
    finally:
        server.terminate()
        server.wait()
    rows.insert(0, in_process(model, seconds))
    table = [HEADER, *(row.cells() for row in rows)]
    with (Path(__file__).parent / "serving.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    for cells in table:
        print("".join(f"{cell:<34}" if i == 0 else f"{cell:>15}" for i, cell in enumerate(cells)))
    alone = rows[1].statuses[200] / rows[1].seconds
    print(f"best throughput: {best:.1f} answers a second, {best / alone:.2f} times a loop of single calls")


if __name__ == "__main__":
    main(sys.argv[1:])
