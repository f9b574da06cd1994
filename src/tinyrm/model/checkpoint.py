"""The checkpoint folder: what is in it, and the checks before anything of it is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from ..errors import UserError
from ..prompt import ClozeWriter, SpecialTokens, Template, TextEncoder
from .calibration import Calibration

MANIFEST = "tinyrm.json"
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CONFIG = "config.json"
METRICS = "metrics.json"
CARD = "README.md"
FORMAT = 1
CLASSIFIER = "classifier.safetensors"
Head: TypeAlias = Literal["cloze", "cls", "mean", "match"]
"""What answers: the MLM head at the slot, or a classifier on the first token's state, on the mean of all states, or on
the means of prompt and response and their product."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Manifest:
    """`tinyrm.json`: everything beside weights and tokenizer that decides a score.

    templates: by kind; the model answers with the words of all of them, in this order.
    calibration: by kind. files: sha256 of each file that a score depends on.
    """

    name: str
    templates: dict[str, Template]
    special: SpecialTokens
    word_ids: dict[str, tuple[int, ...]]
    calibration: dict[str, Calibration] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    head: Head = "cloze"
    tinyrm: str = ""
    format: int = FORMAT

    def columns(self, kind: str) -> slice:
        """Where the words of a template stand among the model's logits."""
        start = 0
        for name, ids in self.word_ids.items():
            if name == kind:
                return slice(start, start + len(ids))
            start += len(ids)
        raise KeyError(kind)

    def all_word_ids(self) -> tuple[int, ...]:
        return tuple(i for ids in self.word_ids.values() for i in ids)


class _Written(msgspec.Struct):
    """What is read of `tinyrm.json` first: a newer format may not be one that `Manifest` fits."""

    format: int


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose manifest was read and whose files are there and whole."""

    folder: Path
    manifest: Manifest

    @property
    def has_onnx(self) -> bool:
        return ONNX in self.manifest.files

    def writers(self) -> dict[str, ClozeWriter]:
        """A writer of clozes for each template, with the answer words checked against the stored ids.

        Raises:
            UserError: the tokenizer gives an answer word another id than the model was trained with.
        """
        from tokenizers import Tokenizer

        encoder = TextEncoder(Tokenizer.from_file(str(self.folder / TOKENIZER)), self.manifest.special)
        writers = {kind: ClozeWriter(encoder, template) for kind, template in self.manifest.templates.items()}
        for kind, writer in writers.items():
            if writer.word_ids != self.manifest.word_ids[kind]:
                raise UserError(f"{self.folder}: the tokenizer does not fit the model: its answer words have other ids")
        return writers


def open_checkpoint(folder: Path) -> Checkpoint:
    """Reads and checks a checkpoint folder; loads no weights.

    Raises:
        UserError: it is not a checkpoint of TinyRM, or a file is missing or not as it was written.
    """
    if not folder.is_dir():
        raise UserError(f"no model at {folder}: give a checkpoint folder of TinyRM or leave --model out")
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        raise UserError(f"{folder} is not a TinyRM checkpoint: it has no {MANIFEST}; `tinyrm train` makes one")
    written = _read(manifest_path, _Written)
    if written.format > FORMAT:
        raise UserError(f"{folder} was written by a newer TinyRM (format {written.format}): pip install -U tinyrm")
    manifest = _read(manifest_path, Manifest)
    if set(manifest.word_ids) != set(manifest.templates) or TOKENIZER not in manifest.files:
        raise UserError(f"{manifest_path} is damaged: templates, word ids and files do not fit together")
    for name, expected in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise UserError(f"{folder} lacks {name}: copy the whole folder again")
        if _sha256(path) != expected:
            raise UserError(f"{path} is not the file that was saved (its hash differs): copy the whole folder again")
    return Checkpoint(folder, manifest)


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, UserError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None


def write_manifest(folder: Path, manifest: Manifest, files: Iterable[str]) -> Manifest:
    """Seals a folder: hashes `files` and writes `tinyrm.json`, whole or not at all."""
    sealed = replace(manifest, files={name: _sha256(folder / name) for name in files})
    write_json(folder / MANIFEST, asdict(sealed))
    return sealed


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a crash leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
