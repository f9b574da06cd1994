"""Folders of Hugging Face models: found, fetched without anything that could run, and hashed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tinyrm.errors import UserError

CONFIG = "config.json"
SAFE = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Weights without pickle, and what tokenizers are made of; of the top folder alone."""


def fetch(name_or_path: str) -> Path:
    """The folder of a model, from the Hub if the name is no path.

    Raises:
        UserError: there is none.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if name_or_path.count("/") > 1 or name_or_path.startswith((".", "/", "~")):
        raise UserError(f"no folder {name_or_path}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name_or_path, allow_patterns=SAFE, ignore_patterns=["*/*"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as problem:
        reason = (str(problem).splitlines() or ["no answer"])[0]
        raise UserError(f"no folder {name_or_path} here, and the Hub does not give it: {reason}") from None


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """config.json of a model, or another such file.

    Raises:
        UserError: there is none, or it is no JSON object.
    """
    try:
        config = json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"{folder / name} cannot be read: {problem}") from None
    if not isinstance(config, dict):
        raise UserError(f"{folder / name} is no JSON object")
    return config


def is_classifier(folder: Path) -> bool:
    """Whether config.json names a sequence classifier of transformers."""
    try:
        named = read_config(folder).get("architectures")
    except UserError:
        return False
    return isinstance(named, list) and any(str(name).endswith("ForSequenceClassification") for name in named)


def digest(folder: Path) -> str:
    """sha256 over the names and contents of a model's config, tokenizer and weights."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(path.match(pattern) for pattern in SAFE):
            whole.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    whole.update(block)
    return whole.hexdigest()
