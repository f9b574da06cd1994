"""A single cloze with its blank first as a plain classifier that other libraries load with no code of ours.

A cloze whose `[MASK]` stands where `[CLS]` would *is* a `ModernBertForSequenceClassification` with CLS pooling: its
head is the MLM head, and its one output row is the decoder's row of the first answer word minus that of the second.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, nearest, require
from ..infer.engine import answer
from ..infer.torch_backend import TorchBackend
from ..model.checkpoint import CONFIG, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS, Checkpoint, open_checkpoint, write_json
from ..prompt import Cloze, ClozeWriter, Question
from ..prompt.template import GENERAL
from ..types import Message, to_prompt
from .framing import framed_config, framed_tokenizer
from .onnx import PROBES, Exported

if TYPE_CHECKING:
    from ..model.cloze_model import ClozeModel

TOLERANCE = 1e-4
"""Largest difference of a reward before an export is refused."""
HARD = (
    "[MASK] [SEP] </s> <|endoftext|>",
    "  two  blanks  ",
    "a\n\n\nb\t",
    "Answer: good",
    "e\u0301\u00e9 \U0001f600",
    "{{ x }}",
)
"""Texts that a tokenizer's frame could get wrong."""
FILES = (CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG)


def export_classifier(source: Path, target: Path, *, domain: str | None = None) -> Exported:
    """Writes a `ModernBertForSequenceClassification` folder whose one logit is the reward.

    domain: whose instruction the folder asks with; it is fixed, since the libraries that load it know of none.

    Raises:
        UserError: an extra is missing, the checkpoint is no single cloze of a ModernBERT with the slot first,
            `target` is taken, or the folder does not give the checkpoint's token ids or rewards.
    """
    for module in ("torch", "transformers"):
        require(module, "train")
    from ..model.base import load_cloze_model

    checkpoint = open_checkpoint(source)
    instruction = _instruction(checkpoint, domain)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another folder or delete it")
    writer = checkpoint.writers()["single"]
    model = load_cloze_model(checkpoint)
    if model.masked_lm.config.model_type != "modernbert":
        raise UserError(
            f"{source} is a {model.masked_lm.config.model_type}, and only a ModernBERT's cloze is exactly a classifier "
            "of transformers: train on a ModernBERT, or export to ONNX"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        folder = Path(made)
        _write(folder, model, checkpoint, instruction)
        difference = _difference(folder, model, writer, domain)
        target.mkdir(exist_ok=True)
        for name in FILES:
            shutil.move(folder / name, target / name)
    return Exported(target, (target / WEIGHTS).stat().st_size, difference)


def _instruction(checkpoint: Checkpoint, domain: str | None) -> str:
    """The instruction of a domain, once it is sure that the checkpoint can be a classifier.

    Raises:
        UserError: it cannot, or has no such domain.
    """
    manifest, folder = checkpoint.manifest, checkpoint.folder
    if WEIGHTS not in manifest.files:
        raise UserError(f"{folder} holds no {WEIGHTS}: export the checkpoint that was trained")
    if manifest.head != "cloze":
        raise UserError(
            f"{folder} has a {manifest.head!r} head, which stands elsewhere than that of transformers' classifiers: "
            "train with model.head = 'cloze', or export to ONNX"
        )
    if "single" not in manifest.templates:
        raise UserError(
            f"{folder} only compares pairs, and a classifier reads one response: train with prompt.template = 'single'"
        )
    template = manifest.templates["single"]
    if not template.slot_first:
        raise UserError(
            f"{folder} has its blank at the end, and a classifier reads the first token: "
            "train with prompt.slot = 'first', or export to ONNX"
        )
    if domain is not None and domain not in template.instructions:
        raise UserError(
            f"{folder} has no instruction for the domain {domain!r}{nearest(domain, template.instructions)}"
        )
    return template.instructions[domain or GENERAL]


def _write(folder: Path, model: ClozeModel, checkpoint: Checkpoint, instruction: str) -> None:
    from transformers import ModernBertForSequenceClassification

    manifest = checkpoint.manifest
    writer = checkpoint.writers()["single"]
    classifier = ModernBertForSequenceClassification(_config(model.masked_lm.config, writer.encoder.pad))
    classifier.model.load_state_dict(model.masked_lm.model.state_dict())
    classifier.head.load_state_dict(model.masked_lm.head.state_dict())
    decoder = model.masked_lm.get_output_embeddings()
    good, bad = manifest.word_ids["single"]
    classifier.classifier.weight.data[:] = decoder.weight[good] - decoder.weight[bad]
    classifier.classifier.bias.data[:] = decoder.bias[good] - decoder.bias[bad]
    classifier.eval().save_pretrained(folder)
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)  # safetensors writes for the owner alone
    (folder / TOKENIZER).write_text(framed_tokenizer(writer, instruction), "utf-8")
    write_json(folder / TOKENIZER_CONFIG, framed_config(writer, instruction))


def _config(trained: Any, pad: int) -> Any:
    """The masked LM's configuration as a classifier's, whose logit every library gives on as it is."""
    from transformers import ModernBertConfig

    rope = {kind: trained.rope_parameters[f"{kind}_attention"]["rope_theta"] for kind in ("full", "sliding")}
    whole = [i for i, kind in enumerate(trained.layer_types) if kind == "full_attention"]
    older = {  # what transformers before 5 calls these
        "global_attn_every_n_layers": whole[1] if len(whole) > 1 else len(trained.layer_types),
        "global_rope_theta": rope["full"],
        "local_rope_theta": rope["sliding"],
    }
    settings = trained.to_dict() | older
    settings |= {
        "architectures": ["ModernBertForSequenceClassification"],
        "num_labels": 1,
        "id2label": {0: "reward"},
        "label2id": {"reward": 0},
        "problem_type": "regression",
        "classifier_pooling": "cls",
        "classifier_dropout": 0.0,
        "pad_token_id": pad,
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
    }
    return ModernBertConfig(**settings)


def _difference(folder: Path, model: ClozeModel, writer: ClozeWriter, domain: str | None) -> float:
    """The largest difference of a reward between the checkpoint and the folder as transformers reads it.

    Raises:
        UserError: it is above TOLERANCE, or the folder gives a text other token ids.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    questions = _questions(writer, domain)
    clozes = writer.write(questions)
    for question, cloze in zip(questions, clozes, strict=True):
        _same_ids(tokenizer, question, cloze)
    backend = TorchBackend(model, writer.encoder.pad, device="cpu")
    start = model.branch.word_ids.tolist().index(writer.word_ids[0])
    logits = answer(backend, clozes)[:, start : start + 2].astype(np.float64)
    padded = tokenizer.pad({"input_ids": [list(cloze.ids) for cloze in clozes]}, return_tensors="pt")
    with torch.no_grad():
        found = classifier.eval()(**padded).logits[:, 0].double().numpy()
    difference = float(np.abs(found - (logits[:, 0] - logits[:, 1])).max())
    if not difference <= TOLERANCE:
        raise UserError(
            f"the classifier is off by {difference:.2g} from the checkpoint's rewards (allowed {TOLERANCE})"
        )
    return difference


def _same_ids(tokenizer: Any, question: Question, cloze: Cloze) -> None:
    """Raises UserError where a text pair or a conversation does not become the tokens of the cloze."""
    if cloze.cut:
        return  # our template shortens the middle of either field, the other libraries what stands last
    turns = [{"role": turn.role, "content": turn.content} for turn in question.prompt]
    answered = [*turns, {"role": "assistant", "content": question.responses[0]}]
    text = tokenizer.apply_chat_template(answered, tokenize=False)
    ways = {"a conversation": tokenizer(text, add_special_tokens=False)}
    if len(turns) == 1 and turns[0]["role"] == "user" and question.responses[0]:
        ways["a text pair"] = tokenizer(turns[0]["content"], question.responses[0])
    for way, found in ways.items():
        if found["input_ids"] != list(cloze.ids):
            raise UserError(
                f"this tokenizer cannot be written as a plain one: as {way}, it reads {answered} otherwise than "
                "TinyRM does; export to ONNX"
            )


def _questions(writer: ClozeWriter, domain: str | None) -> list[Question]:
    """Texts of every sort: ours, random ones of the vocabulary's pieces, and those that are easily read wrong."""
    rng = random.Random(0)
    made = json.loads(writer.encoder.tokenizer_json)
    added = [token["content"] for token in made["added_tokens"]]
    size = len(made["model"]["vocab"])
    drawn = [writer.encoder.decode(rng.choices(range(size), k=rng.randint(1, 40))) for _ in range(40)]
    texts = [*HARD, *(f"a{token}b {token} c" for token in rng.sample(added, min(len(added), 40))), *drawn]
    pairs = [(prompt, text) for prompt, *some in PROBES for text in some]
    pairs += [(a, b) for a, b in zip(texts, reversed(texts), strict=True)]
    questions = [Question(to_prompt(prompt), (text,), domain) for prompt, text in pairs if prompt.strip()]
    roles = ("system", "user", "assistant", "user")
    spoken = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))
    return [*questions, Question(spoken, (texts[0],), domain), Question(to_prompt("a"), ("",), domain)]
