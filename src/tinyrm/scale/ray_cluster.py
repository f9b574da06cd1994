"""Rows judged by a Ray cluster: windows of them go to model actors, and come back in their order.

Actors rather than stages of Ray Data: windows, order, bad rows and resuming stay those of a local run, so that the
outcome is the same; what is left to Ray is what it is for, placing work and doing it again where a worker died.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ..data import RawRow
from ..errors import UserError, require
from ..infer import load
from ..infer.loading import BackendName, find
from ..infer.scoring import WINDOW, score_rows
from ..model.checkpoint import WEIGHTS, open_checkpoint

AHEAD = 2
"""Windows that wait at each worker, so that none is idle while its last one travels."""
HELD = 8
"""Windows for each worker that may be judged out of turn; more would fill memory behind a slow one."""
RETRIES = 3
"""How often a window is judged again whose worker died: a window that kills every worker ends the run."""
PATIENCE = 10.0
"""Seconds that a cluster has to answer."""
START = 300.0
"""Seconds that a worker has to start: to be given a core, and to load (perhaps fetch) the model."""


class RayCluster:
    """Model actors on a Ray cluster, one for each core or GPU. Use as a context: leaving it frees them.

    model, backend: as `tinyrm.load` takes them; every machine must reach the model under the same name.
    address: of a running cluster, as `ray.init` takes it; None is the one in RAY_ADDRESS, or else this machine.
    workers: how many actors; None takes all the cluster has.

    Raises:
        UserError: Ray is not installed, there is no cluster, or a worker cannot load the same model.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        backend: BackendName = "auto",
        address: str | None = None,
        workers: int | None = None,
    ) -> None:
        self._ray = require("ray", "ray")
        folder = find(model)
        self.manifest = open_checkpoint(folder).manifest
        self.computes = ""
        """What all workers compute with; known once they are there."""
        self.tokens = 0
        """Tokens read so far, padding not counted."""
        self._model = None if model is None else str(folder.resolve()) if Path(model).exists() else str(model)
        self._backend, self._address, self._wanted = backend, address, workers
        self._actors: list[Any] = []
        self._began = False

    def __enter__(self) -> RayCluster:
        self._join()
        try:
            self._hire()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leave()

    def describe(self) -> str:
        return f"{len(self._actors)} workers of Ray {self._ray.__version__}"

    def judge(
        self, rows: Iterable[RawRow], *, field: str = "tinyrm", on_bad_row: Literal["skip", "refuse"] = "skip"
    ) -> Iterator[dict[str, Any]]:
        """What `score_rows` gives, in the same order.

        Raises:
            UserError: as there, or the workers die again and again over the same rows.
        """
        windows = _Windows(iter(rows))
        order: deque[Any] = deque()
        at: dict[Any, int] = {}  # windows not judged yet, and the worker that has each
        load = [0] * len(self._actors)

        def feed() -> None:
            while len(order) < HELD * len(load) and min(load) < AHEAD and (window := windows.next()):
                worker = load.index(min(load))
                reference = self._actors[worker].judge.remote(window, field, on_bad_row)
                load[worker] += 1
                at[reference] = worker
                order.append((reference, window[0].where))

        feed()
        while order:
            reference, where = order[0]
            while reference in at:
                for judged in self._ray.wait(list(at), num_returns=1)[0]:
                    load[at.pop(judged)] -= 1
                feed()
            order.popleft()
            found, refused, tokens = self._fetch(reference, where)
            self.tokens += tokens
            yield from found
            if refused:
                raise UserError(refused)
            feed()
        if windows.fault:
            raise windows.fault

    def _fetch(self, reference: Any, where: str) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError:
            raise  # a fault of ours, not of the cluster
        except exceptions.RayError as loss:
            raise UserError(
                f"the rows from {where} on could not be judged: their worker died {RETRIES + 1} times "
                f"({type(loss).__name__}), perhaps for want of memory; the same command goes on from there"
            ) from None

    def _join(self) -> None:
        if self._ray.is_initialized():
            return
        if self._address:
            _reach(self._address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else a cluster started here reports to its makers
        try:
            self._ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as problem:
            reason = (str(problem).strip().splitlines() or ["no answer"])[0]
            raise UserError(f"no Ray cluster at {self._address or 'this machine'}: {reason}") from None
        self._began = True

    def _hire(self) -> None:
        resources = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if self._backend.startswith(("auto", "torch")) else 0
        on_gpus = gpus > 0 and WEIGHTS in self.manifest.files
        count = self._wanted or (gpus if on_gpus else int(resources.get("CPU", 0)))
        if count < 1:
            raise UserError("the Ray cluster has no core to work on: add a machine to it")
        each = {"num_cpus": 1, "num_gpus": 1 if on_gpus else 0}
        actor = self._ray.remote(max_restarts=-1, max_task_retries=RETRIES, **each)(Worker)
        self._actors = [actor.remote(self._model, self._backend, None if on_gpus else 1) for _ in range(count)]
        for number, worker in enumerate(self._actors, 1):
            asked = worker.about.remote()
            if not self._ray.wait([asked], timeout=START)[0]:
                raise UserError(
                    f"the Ray cluster had no room for worker {number} of {count} within {START:.0f} s: give fewer "
                    "--ray-workers, or wait for its other work"
                )
            try:
                files, computes, problem = self._ray.get(asked)
            except self._ray.exceptions.RayActorError as death:
                reason = str(death).strip().splitlines()[-1]
                raise UserError(f"worker {number} of the Ray cluster cannot start: {reason}") from None
            if problem:
                raise UserError(f"worker {number} of the Ray cluster: {problem}")
            if files != self.manifest.files:
                raise UserError(
                    f"worker {number} of the Ray cluster has another {self._model or self.manifest.name} than this "
                    "machine: copy the model, or install the same TinyRM"
                )
            if computes != (self.computes or computes):
                raise UserError(
                    f"worker {number} of the Ray cluster computes by {computes}, others by {self.computes}, so that "
                    "scores would depend on the worker: say which with --backend"
                )
            self.computes = computes

    def _leave(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._began:
            self._ray.shutdown()
            self._began = False


def _reach(address: str) -> None:
    """Raises UserError where nobody answers at `host:port` or `ray://host:port`: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        if address in ("auto", "local"):
            return
        raise UserError(f"{address!r} is no address of a Ray cluster: give host:port or ray://host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as problem:
        raise UserError(f"no Ray cluster answers at {address}: {problem}") from None


class _Windows:
    """Rows by windows; a fault of the reader ends them, to be told after what came before it."""

    def __init__(self, rows: Iterator[RawRow]) -> None:
        self._rows = rows
        self.fault: UserError | None = None

    def next(self) -> list[RawRow]:
        try:
            return list(islice(self._rows, WINDOW)) if self.fault is None else []
        except UserError as fault:
            self.fault = fault
            return []


class Worker:
    """What runs in an actor: a model on one core or GPU."""

    def __init__(self, model: str | None, backend: BackendName, threads: int | None) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the other cores have workers of their own
        self._problem: str | None = None
        try:
            self._model = load(model, backend=backend, threads=threads)
        except UserError as problem:
            self._problem = str(problem)

    def about(self) -> tuple[dict[str, str], str, str | None]:
        """The sha256 of the model's files and what computes, or why there is no model."""
        if self._problem:
            return {}, "", self._problem
        return dict(self._model.manifest.files), self._model.computes, None

    def judge(
        self, rows: list[RawRow], field: str, on_bad_row: Literal["skip", "refuse"]
    ) -> tuple[list[dict[str, Any]], str | None, int]:
        """The rows of a window with their judgements, why there are no more of them, and the tokens read."""
        if self._problem:  # a worker that was started again, on a machine without the model
            return [], self._problem, 0
        read, judged = self._model.tokens, []
        try:
            for row in score_rows(self._model, rows, field=field, on_bad_row=on_bad_row):
                judged.append(row)
        except UserError as refused:
            return judged, str(refused), self._model.tokens - read
        return judged, None, self._model.tokens - read
