"""The loop: one plain pass over batches of preferences on Accelerate."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..errors import UserError
from ..model.cloze_model import ClozeModel
from .batches import Batch, Feed, share, shuffled_batches
from .objectives import objective_of
from .optimiser import build_optimiser, learning_rate
from .state import restore, snapshot


@dataclass(frozen=True)
class Step:
    """What one optimiser step did, for whoever shows or records it."""

    step: int
    steps: int
    loss: float
    lr: float
    tokens: int
    preferences: int
    seconds: float


@dataclass
class Fitted:
    """What came of a run so far: true counts, and the history of validation. `seconds` counts training alone."""

    steps: int = 0
    preferences: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Keeping:
    """How a run outlives its process: where it goes on from, and what is done with its state."""

    minutes: float
    keep: Callable[[dict[str, Tensor], Fitted], None]
    fitted: Fitted
    tensors: dict[str, Tensor] | None


def odds_of(model: Callable[..., Tensor], batch: Batch, half: bool = False) -> Tensor:
    """logit(word 0) - logit(word 1) at the slots of a batch's clozes [n, clozes of each], in float32.

    half: multiply in bfloat16.
    """
    with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=half):
        logits = model(batch.ids, batch.layout, batch.below).float()
    odds: Tensor = (logits[:, 0] - logits[:, 1])[batch.which]
    return odds


def fit(
    model: ClozeModel,
    feed: Feed,
    kind: str,
    config: TrainConfig,
    *,
    seed: int,
    accelerator: Any,
    on_step: Callable[[Step], None],
    validate: Callable[[Callable[..., Tensor], int], dict[str, Any]],
    keeping: Keeping | None = None,
    half: bool = False,
) -> Fitted:
    """Trains in place; `validate(model, step)` is called `config.evaluations` times, last at the end.

    Every process takes its share of each batch; the mean loss over all of it is what they descend.
    half: multiply in bfloat16.

    Raises:
        UserError: the loss is no longer a number.
    """
    objective = objective_of(kind, config)
    count = len(feed.examples)
    steps = max(1, round(math.ceil(count / config.batch_size) * config.epochs))
    evaluate_at = {math.ceil(steps * (i + 1) / config.evaluations) for i in range(config.evaluations)}
    wrapped, optimiser = accelerator.prepare(model, build_optimiser(model, config))
    inner = accelerator.unwrap_model(wrapped)
    fitted = keeping.fitted if keeping else Fitted()
    if keeping and keeping.tensors is not None:
        restore(inner, optimiser, keeping.tensors)
    saved = time.monotonic()
    started = saved - fitted.seconds
    model.train()
    for step, indices in enumerate(_batches(feed.examples.families, config.batch_size, seed, steps)):
        if step < fitted.steps:
            continue
        rate = learning_rate(step, steps, config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, tokens = _descend(wrapped, feed, indices, objective, config, accelerator, half)
        accelerator.clip_grad_norm_(wrapped.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        # One message tells every process the loss, the tokens, and whether the first holds it time to save.
        late = keeping is not None and time.monotonic() - saved >= 60 * keeping.minutes
        told = torch.tensor([loss, tokens, float(late and accelerator.is_main_process)], dtype=torch.float64)
        loss, tokens, save_now = accelerator.reduce(told.to(accelerator.device), "sum").tolist()
        if not math.isfinite(loss):
            raise UserError(f"the loss became {loss} at step {step + 1}: lower train.lr (now {config.lr:g})")
        fitted.steps, fitted.preferences = step + 1, fitted.preferences + len(indices)
        fitted.tokens += int(tokens)
        fitted.seconds = time.monotonic() - started
        on_step(Step(step + 1, steps, loss, rate, fitted.tokens, fitted.preferences, fitted.seconds))
        paused = time.monotonic()
        if step + 1 in evaluate_at:
            model.eval()
            fitted.history.append({"step": step + 1, "loss": loss, **validate(wrapped, step + 1)})
            model.train()
        if keeping and (save_now or step + 1 in evaluate_at):
            keeping.keep(snapshot(inner, optimiser), fitted)
            saved = time.monotonic()
        started += time.monotonic() - paused
    model.eval()
    return fitted


def _descend(
    model: Any, feed: Feed, indices: np.ndarray, objective: Any, config: TrainConfig, accelerator: Any, half: bool
) -> tuple[float, int]:
    """Adds the gradients of this process's share of a batch, piece by piece; its part of the loss, and its tokens."""
    mine = share(indices, accelerator.process_index, accelerator.num_processes)
    # Where the batch is smaller than the number of processes, the idle ones still take part, with no weight.
    pieces = feed.pieces(mine if len(mine) else indices[:1], config.tokens_per_batch)
    if accelerator.distributed_type == "FSDP":  # every forward gathers the shards: all need equally many
        shares = (share(indices, rank, accelerator.num_processes) for rank in range(accelerator.num_processes))
        rounds = max(len(feed.pieces(each, config.tokens_per_batch)) for each in shares if len(each))
        pieces += [indices[:0]] * (rounds - len(pieces))
    loss_so_far, tokens = 0.0, 0
    for number, piece in enumerate(pieces):
        weight = 1.0 if len(mine) and len(piece) else 0.0
        batch = feed.batch(piece if len(piece) else indices[:1]).to(accelerator.device)
        last = number == len(pieces) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            odds = odds_of(model, batch, half)
            loss = weight * objective(odds, batch.target, config.margin * batch.margin).sum() / len(indices)
            # Processes average their gradients, and the loss is a sum over them.
            accelerator.backward(loss * accelerator.num_processes)
        loss_so_far += float(loss.detach())
        tokens += batch.tokens if weight else 0
    return loss_so_far, tokens


def _batches(families: np.ndarray, size: int, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Epoch after epoch, `steps` batches."""
    done = 0
    for epoch in range(steps):
        for indices in shuffled_batches(families, size, seed + epoch):
            if done == steps:
                return
            yield indices
            done += 1


@torch.no_grad()
def judge(
    model: Callable[..., Tensor], feed: Feed, tokens: int, device: torch.device, half: bool = False
) -> np.ndarray:
    """The odds [n, clozes of each] of every example's clozes, in the order of the examples."""
    odds = np.empty((len(feed.examples), feed.examples.per), dtype=np.float64)
    for piece in feed.pieces(np.arange(len(feed.examples)), tokens):
        odds[piece] = odds_of(model, feed.batch(piece).to(device), half).cpu().numpy()
    return odds
