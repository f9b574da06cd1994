"""Masked-LM training of an encoder that came without its MLM head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..config import TrainConfig, WarmupConfig
from ..model.cloze_model import ClozeModel
from ..model.families import family_of
from ..model.layout import Padded
from ..prompt import TextEncoder
from ..types import Preference
from .optimiser import build_optimiser, learning_rate

TOKENS_PER_STEP = 4096
BLOCK = 256
"""Preferences tokenised at a time."""


def sequences(preferences: Sequence[Preference], encoder: TextEncoder, config: WarmupConfig, seed: int) -> np.ndarray:
    """Training texts as full rows [rows, max_length] framed by cls and sep, `config.tokens` tokens or all there are.

    Texts run on from one row to the next, so that nothing is padding; each prompt is followed by one
    of its two responses.
    """
    rng = np.random.default_rng(seed)
    inner = config.max_length - 2
    wanted = max(1, config.tokens // config.max_length)
    order = rng.permutation(len(preferences))
    stream: list[int] = []
    for start in range(0, len(order), BLOCK):
        texts = []
        for preference in (preferences[i] for i in order[start : start + BLOCK]):
            response = preference.chosen if rng.random() < 0.5 else preference.rejected
            texts.append("\n".join([*(turn.content for turn in preference.prompt), response]))
        stream += [i for ids in encoder.encode(texts) for i in ids]
        if len(stream) >= wanted * inner:
            break
    rows = min(wanted, max(1, len(stream) // inner))
    body = np.resize(np.asarray(stream, dtype=np.int64), (rows, inner))
    edge = np.ones((rows, 1), dtype=np.int64)
    return np.hstack([edge * encoder.cls, body, edge * encoder.sep])


def warm_up(
    masked_lm: Any,
    preferences: Sequence[Preference],
    encoder: TextEncoder,
    config: WarmupConfig,
    *,
    seed: int,
    device: torch.device,
    on_step: Callable[[int, int, float], None],
) -> float:
    """Trains the masked LM in place to fill in masked tokens; returns the mean loss of the last tenth, in nats.

    Every chosen token becomes the mask token, as the slot always is one. Logits are computed at
    the masked places alone.
    """
    rows = sequences(preferences, encoder, config, seed)
    model = ClozeModel(masked_lm, (0, 1), frozen=config.frozen).to(device).train()
    family = family_of(masked_lm)
    schedule = TrainConfig(lr=config.lr)
    optimiser = build_optimiser(model, schedule)
    generator = torch.Generator().manual_seed(seed)
    per_step = max(1, TOKENS_PER_STEP // config.max_length)
    batches = torch.split(torch.from_numpy(rows), per_step)  # type: ignore[no-untyped-call]
    losses = []
    for step, ids in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, len(batches), schedule)
        masked = torch.rand(ids.shape, generator=generator) < config.mask_rate
        masked[:, [0, -1]] = False
        masked[0, 1] = True  # never nothing to learn from
        ids, masked = ids.to(device), masked.to(device)
        seen = ids.masked_fill(masked, encoder.mask)
        layout = Padded(None, torch.zeros(len(seen), dtype=torch.long))
        with torch.set_grad_enabled(model.frozen == 0):
            hidden = model.trunk(seen, layout)
        hidden = model.branch.hidden(hidden, layout)[masked]
        logits = nn.functional.linear(family.transform(hidden), *family.decoder())
        loss = nn.functional.cross_entropy(logits, ids[masked])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        on_step(step + 1, len(batches), losses[-1])
    masked_lm.requires_grad_(True)
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))
