"""Several workers of one sweep on one machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from types import FrameType
from typing import NoReturn

import torch

from ..config import Recipe
from ..errors import UserError
from ..train.materials import Materials
from .space import Axis
from .trials import WAIT, open_study, quiet_optuna, work


def work_together(recipe: Recipe, space: tuple[Axis, ...], workers: int, tell: Callable[[], None]) -> None:
    """Runs trials in so many processes until the study is full; `tell` is called every second or so.

    An interrupt ends the workers first: each marks its trial as failed. The others go on if one is killed.

    Raises:
        UserError: the last worker ended before the study was full.
    """
    threads = max(1, torch.get_num_threads() // workers)
    spawn = multiprocessing.get_context("spawn")
    started = [
        spawn.Process(target=_worker, args=(recipe, space, threads), name=f"worker {number + 1}", daemon=True)
        for number in range(workers)
    ]
    try:
        with _deaf():
            for process in started:
                process.start()
        while running := [process.sentinel for process in started if process.is_alive()]:
            wait(running, timeout=WAIT)
            tell()
    finally:
        for process in started:
            if process.is_alive():
                process.terminate()
        for process in started:
            process.join()
    if all(process.exitcode for process in started):  # one that ends well has seen the study full
        codes = ", ".join(str(process.exitcode) for process in started)
        raise UserError(f"every worker ended before its time (exit codes {codes}): the same command goes on")


def _worker(recipe: Recipe, space: tuple[Axis, ...], threads: int) -> None:
    # Ctrl-C reaches every process of the terminal; it is the first process alone that ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    torch.set_num_threads(threads)
    try:
        with quiet_optuna():
            work(open_study(recipe, space), recipe, space, Materials())
    except KeyboardInterrupt:
        raise SystemExit(1) from None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes started herein take no notice of Ctrl-C from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
