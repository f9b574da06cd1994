"""Writing a checkpoint folder from a model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ..prompt import ClozeWriter
from ..version import __version__
from .adapters import adapters, merged_state
from .calibration import Calibration
from .card import model_card
from .checkpoint import (
    CARD,
    CLASSIFIER,
    CONFIG,
    METRICS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    Manifest,
    write_json,
    write_manifest,
)
from .cloze_model import ClozeModel, whole
from .peft_format import save_adapters

ADAPTER = "adapter"
"""Folder within a checkpoint: the adapters alone, as peft reads them."""


def save_checkpoint(
    folder: Path | None,
    model: ClozeModel,
    writers: Mapping[str, ClozeWriter],
    *,
    name: str,
    calibration: Mapping[str, Calibration],
    metrics: Mapping[str, Any],
    adapters_of: str | None = None,
) -> None:
    """Writes weights (adapters merged), tokenizer, templates, metrics and card; the manifest comes last.

    Weights and tokenizer are a plain Hugging Face masked LM, and so a base for further training.
    adapters_of: name of the base that the adapters belong to; they are written beside the merged
        weights too, in PEFT's format. folder: None in the processes beside the one that writes,
        which help to gather what is sharded.
    """
    state = merged_state(model)
    head = model.branch.classifier
    classifier = {} if head is None else {name: whole(tensor) for name, tensor in head.state_dict().items()}
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    model.masked_lm.save_pretrained(folder, state_dict=state)
    weights = [WEIGHTS]
    if classifier:
        save_file(classifier, folder / CLASSIFIER)
        weights.append(CLASSIFIER)
    for file in weights:
        (folder / file).chmod((folder / CONFIG).stat().st_mode)  # safetensors writes for the owner alone
    sharded = any(hasattr(parameter, "full_tensor") for parameter in model.parameters())
    if adapters_of is not None and adapters(model) and not sharded:
        save_adapters(model, folder / ADAPTER, adapters_of)
    encoder = next(iter(writers.values())).encoder
    (folder / TOKENIZER).write_text(encoder.tokenizer_json, "utf-8")
    write_json(folder / TOKENIZER_CONFIG, _tokenizer_config(writers))
    manifest = Manifest(
        name=name,
        templates={kind: writer.template for kind, writer in writers.items()},
        special=encoder.special,
        word_ids={kind: writer.word_ids for kind, writer in writers.items()},
        calibration=dict(calibration),
        head=model.branch.head,
        tinyrm=__version__,
    )
    write_json(folder / METRICS, metrics)
    (folder / CARD).write_text(model_card(manifest, metrics), "utf-8")
    write_manifest(folder, manifest, (CONFIG, *weights, TOKENIZER))


def _tokenizer_config(writers: Mapping[str, ClozeWriter]) -> dict[str, Any]:
    """What transformers' AutoTokenizer wants beside `tokenizer.json`."""
    encoder = next(iter(writers.values())).encoder
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max(writer.template.max_length for writer in writers.values()),
        **{f"{role}_token": token for role, token in asdict(encoder.special).items()},
    }
