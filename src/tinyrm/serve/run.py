"""The server as processes: a socket, one or several workers, signals."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UserError, require
from ..infer import RewardModel, load
from ..types import Message
from .settings import Settings

KEEP_ALIVE = 75
"""Seconds that a connection may idle: longer than the clients' pools keep one, so that they close it, not we."""
HANGS = 30
"""Seconds without a sign of life after which a worker is started anew."""
GRACE = 5
"""Seconds beyond the deadline that a stopping server gives the requests it took."""
STARTUP_FAILURE = 3
"""Exit code of a worker that could not start: uvicorn's supervisor then gives up instead of trying for ever."""


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serves until it is told to stop (SIGTERM, SIGINT), then finishes the requests it took.

    With several workers, each is a process with the model in it; one that dies is started again.

    Raises:
        UserError: there is no such model, the port is taken, or the extra is not installed.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, "serve")
    listener = _listen(settings)
    host, port = settings.host, listener.getsockname()[1]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not settings.is_local and settings.token is None:
        say(f"warning: {host} can be reached from other machines and no token is asked for (--token, TINYRM_TOKEN)")
    model = load(settings.model, backend=settings.backend)  # type: ignore[arg-type]
    what = f"{model.manifest.name} ({model.backend.describe()}) at {url}"
    if settings.workers == 1:
        _warm(model)
        _run_one(model, settings, listener, what, say)
        return
    del model  # it was loaded to see whether it can be
    say(f"starting {settings.workers} workers: {what}")
    _run_many(settings, listener)


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise UserError(f"cannot listen at {settings.host}:{settings.port}: {reason}") from None
    listener.set_inheritable(True)
    return listener


def _config(settings: Settings, app: Any, **options: Any) -> Any:
    import uvicorn

    return uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,  # a query string may hold what a user wrote
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_worker_healthcheck=HANGS,
        timeout_graceful_shutdown=int(settings.deadline) + GRACE,
        **options,
    )


def _run_one(
    model: RewardModel, settings: Settings, listener: socket.socket, what: str, say: Callable[[str], None]
) -> None:
    import uvicorn

    from .app import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            say(f"ready: {what}")

    # uvicorn raises the signal again once it is done: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(_config(settings, create_app(model, settings, say))).run([listener])


@dataclass(frozen=True)
class Worker:
    """Makes the application in a worker process; pickled into it."""

    settings: Settings

    def __call__(self) -> Any:
        from .app import create_app

        try:
            share = max(1, (os.cpu_count() or 1) // self.settings.workers)  # or the workers crowd one another out
            model = load(self.settings.model, backend=self.settings.backend, threads=share)  # type: ignore[arg-type]
            _warm(model)
            app = create_app(model, self.settings, _say)
        except Exception as problem:
            _say(f"tinyrm: a worker cannot start: {problem}")
            sys.exit(STARTUP_FAILURE)
        _say(f"ready: worker {os.getpid()}")
        return app


def _run_many(settings: Settings, listener: socket.socket) -> None:
    from uvicorn.supervisors import Multiprocess

    from .meters import SHARED

    with tempfile.TemporaryDirectory(prefix="tinyrm-metrics-") as folder:
        os.environ[SHARED] = folder
        try:
            config = _config(settings, Worker(settings), factory=True, workers=settings.workers)
            supervisor = Multiprocess(config, sockets=[listener])
            interrupted = False

            def interrupt() -> None:
                nonlocal interrupted
                interrupted = True
                supervisor.should_exit.set()

            supervisor.handle_int = interrupt  # type: ignore[method-assign]
            supervisor.run()
            if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
                raise UserError("the workers cannot start, for the reason above")
            if interrupted:
                raise KeyboardInterrupt
        finally:
            del os.environ[SHARED]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _warm(model: RewardModel) -> None:
    """Judges once, so that the first caller does not wait for what is only set up once."""
    prompt = (Message("user", "What is 2 + 2?"),)
    if model.reads_single:
        model.score_many([(prompt, "4")])
    else:
        model.compare_many([(prompt, "4", "5")])
