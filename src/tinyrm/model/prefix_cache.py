"""The frozen layers' states on disk, so that they are computed once for all epochs, trials and seeds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ..config import CacheConfig
from ..errors import UserError
from .cloze_model import ClozeModel
from .layout import lay_out

FORMAT = 1
"""Raised when the arithmetic of the layers changes, so that no older cache is read."""
TOKENS = 4096
"""Computed at a time."""
SUFFIX, PARTIAL = ".npy", ".partial"


def cached_prefix(
    model: ClozeModel,
    ids: np.ndarray,
    starts: np.ndarray,
    config: CacheConfig,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The trunk's states [tokens, width] of clozes end to end, memory-mapped; computed only if they are not kept.

    ids [tokens]; starts [clozes + 1]: where each cloze begins. The key is all that decides a state:
    the token ids (and so rows, template and tokenizer), the trunk's weights and depth, and the
    number format. A file gets its name when it is whole: what a crash leaves is never read.

    Raises:
        UserError: nothing is frozen, the family cannot be packed, or the states take more than the
            budget or the disk allows (before anything is written), or more than float16 can hold;
            or they cannot be written.
    """
    from filelock import FileLock

    if not model.frozen:
        raise UserError("cache.prefix keeps the frozen layers' states, but model.frozen = 0")
    if not model.packs:
        raise UserError(f"cache.prefix does not work with {model.masked_lm.config.model_type}: set it to false")
    folder = Path(config.folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key(model, ids, starts, config.dtype)}{SUFFIX}"
    shape = (int(starts[-1]), int(model.masked_lm.config.hidden_size))
    with FileLock(path.with_suffix(".lock")):  # of several workers one computes, the others wait for it
        kept = _kept(path, shape)
        if kept is None:
            _make_room(folder, path, shape, config)
            _write(path, shape, config.dtype, _states(model, ids, starts, device, progress))
            kept = _kept(path, shape)
    if kept is None:
        raise UserError(f"{path} cannot be read back: is the disk sound?")
    return kept


def _key(model: ClozeModel, ids: np.ndarray, starts: np.ndarray, dtype: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {model.frozen} {dtype} {model.masked_lm.config.to_json_string()}".encode())
    digest.update(ids.tobytes())
    digest.update(starts.tobytes())
    for name, tensor in sorted(model.trunk.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def _kept(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        states: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    if states.shape != shape:
        return None
    with contextlib.suppress(OSError):  # another worker may have made room meanwhile: what is mapped stays whole
        os.utime(path)  # the least recently used go first
    return states


def _make_room(folder: Path, path: Path, shape: tuple[int, int], config: CacheConfig) -> None:
    """Deletes the caches used least recently until this one fits the budget.

    Raises:
        UserError: it would not fit, named with its size.
    """
    from filelock import FileLock

    needed = shape[0] * shape[1] * np.dtype(config.dtype).itemsize
    size = f"the frozen layers' states of {shape[0]:,} tokens take {needed / 1e9:.2f} GB"
    budget = config.budget_gb * 1e9
    if needed > budget:
        raise UserError(f"{size}, but cache.budget_gb = {config.budget_gb:g}: raise it, or set cache.prefix = false")
    with FileLock(folder / "room.lock"):  # one worker at a time, so that none deletes what another counts
        _drop_torn(folder)
        others = sorted(folder.glob(f"*{SUFFIX}"), key=lambda other: other.stat().st_mtime)
        held = sum(other.stat().st_size for other in others)
        for other in others:
            if held + needed > budget:
                held -= other.stat().st_size
                other.unlink()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{size}, but {folder} has {free / 1e9:.2f} GB left: make room, or name another cache.folder")


def _drop_torn(folder: Path) -> None:
    """Deletes what runs left that were killed while they wrote: their locks are free."""
    from filelock import FileLock, Timeout

    for torn in folder.glob(f"*{PARTIAL}"):
        try:
            with FileLock(torn.with_suffix(".lock"), timeout=0):
                torn.unlink(missing_ok=True)
        except Timeout:
            continue


def _write(path: Path, shape: tuple[int, int], dtype: str, states: Iterator[np.ndarray]) -> None:
    """Writes with plain calls: a memory map would end the process where the disk is full."""
    partial = path.with_suffix(PARTIAL)
    try:
        with partial.open("wb") as file:
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in states:
                with np.errstate(over="ignore"):
                    stored = part.astype(dtype)
                if not np.isfinite(part).all():
                    raise UserError("the frozen layers give states that are no numbers: are the base's weights whole?")
                if not np.isfinite(stored).all():
                    raise UserError(f"the model's states are too large for {dtype}: set cache.dtype = float32")
                file.write(stored.tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as problem:
        partial.unlink(missing_ok=True)
        if not isinstance(problem, OSError):
            raise
        raise UserError(
            f"the frozen layers' states could not be kept in {path.parent}: {problem.strerror or problem}: "
            "make room, or name another cache.folder"
        ) from None


@torch.no_grad()
def _states(
    model: ClozeModel,
    ids: np.ndarray,
    starts: np.ndarray,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> Iterator[np.ndarray]:
    """The states of some thousand tokens at a time, in the order of the clozes."""
    first, clozes = 0, len(starts) - 1
    while first < clozes:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + TOKENS, side="right")) - 1)
        lengths = np.diff(starts[first : last + 1])
        tokens, layout = lay_out(
            ids[starts[first] : starts[last]], lengths, np.zeros(len(lengths), np.int64), packs=True, pad=0
        )
        yield model.trunk(tokens.to(device), layout.to(device)).float().cpu().numpy()
        progress(last, clozes)
        first = last
