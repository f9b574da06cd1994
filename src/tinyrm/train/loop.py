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
from .examples import Batch, Examples, shuffled_batches, within_budget
from .objectives import OBJECTIVES
from .optimiser import build_optimiser, learning_rate


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
    """What came of a run: true counts, and the history of validation."""

    steps: int = 0
    preferences: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def odds_of(model: Callable[..., Tensor], batch: Batch) -> Tensor:
    """logit(word 0) - logit(word 1) at the slots of a batch's clozes [n, 2]."""
    logits = model(batch.ids, batch.mask, batch.slot)
    return (logits[:, 0] - logits[:, 1]).view(-1, 2)


def fit(
    model: ClozeModel,
    examples: Examples,
    kind: str,
    pad: int,
    config: TrainConfig,
    *,
    seed: int,
    accelerator: Any,
    on_step: Callable[[Step], None],
    validate: Callable[[int], dict[str, Any]],
) -> Fitted:
    """Trains in place; `validate(step)` is called `config.evaluations` times, last at the end.

    Raises:
        UserError: the loss is no longer a number.
    """
    objective = OBJECTIVES[kind]
    per_epoch = math.ceil(len(examples) / config.batch_size)
    steps = max(1, round(per_epoch * config.epochs))
    evaluate_at = {math.ceil(steps * (i + 1) / config.evaluations) for i in range(config.evaluations)}
    optimiser = build_optimiser(model, config)
    wrapped, optimiser = accelerator.prepare(model, optimiser)
    lengths = examples.lengths
    fitted = Fitted()
    started = time.monotonic()
    model.train()
    for step, indices in enumerate(_epochs(lengths, config.batch_size, seed, steps)):
        rate = learning_rate(step, steps, config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        # Every process takes its share of the global batch; the mean over all of it is the loss.
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        pieces = within_budget(mine, lengths, config.tokens_per_batch)
        total = torch.zeros((), device=accelerator.device)
        for number, piece in enumerate(pieces):
            batch = examples.batch(piece, pad).to(accelerator.device)
            last = number == len(pieces) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(wrapped), accelerator.autocast():
                odds = odds_of(wrapped, batch).float()
                loss = objective(odds, batch.target, config.margin * batch.margin).sum() / len(indices)
                accelerator.backward(loss * accelerator.num_processes)
            total += loss.detach()
            fitted.tokens += int(batch.ids.numel() if batch.mask is None else batch.mask.sum())
        accelerator.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss_now = float(accelerator.reduce(total, "sum"))
        if not math.isfinite(loss_now):
            raise UserError(f"the loss became {loss_now} at step {step + 1}: lower train.lr (now {config.lr:g})")
        fitted.steps, fitted.preferences = step + 1, fitted.preferences + len(indices)
        fitted.seconds = time.monotonic() - started
        on_step(Step(step + 1, steps, loss_now, rate, fitted.tokens, fitted.preferences, fitted.seconds))
        if step + 1 in evaluate_at:
            model.eval()
            paused = time.monotonic()
            fitted.history.append({"step": step + 1, "loss": loss_now, **validate(step + 1)})
            started += time.monotonic() - paused  # `seconds` counts training alone
            model.train()
    model.eval()
    return fitted


def _epochs(lengths: np.ndarray, size: int, seed: int, steps: int) -> Iterator[np.ndarray]:
    done = 0
    epoch = 0
    while done < steps:
        for indices in shuffled_batches(lengths, size, seed + epoch):
            if done == steps:
                return
            yield indices
            done += 1
        epoch += 1


@torch.no_grad()
def judge(model: ClozeModel, examples: Examples, pad: int, tokens: int, device: torch.device) -> np.ndarray:
    """The odds [n, 2] of every example's two clozes, in the order of the examples."""
    odds = np.empty((len(examples), 2), dtype=np.float64)
    for piece in within_budget(np.arange(len(examples)), examples.lengths, tokens):
        odds[piece] = odds_of(model, examples.batch(piece, pad).to(device)).float().cpu().numpy()
    return odds
