"""Tiny recipes, and a bench on which the loop runs."""

from __future__ import annotations

import pytest

from tinyrm.config import load_recipe


@pytest.fixture(scope="session")
def headless_folder(tmp_path_factory, base_folder, tokenizer):
    """A BERT that was saved without its MLM head, as sentence encoders are."""
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("headless")
    BertModel.from_pretrained(base_folder("bert")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def recipe(tmp_path, pairs_file, base_folder):
    """`recipe(*overrides)`: a run over easy pairs that takes a second."""

    def make(*overrides: str, path=None):
        if path is None:
            path = tmp_path / "tiny.toml"
            path.write_text("", "utf-8")
        usual = [
            f"output={tmp_path / 'out'}",
            f"data.root={tmp_path}",
            f'data.train=[{{path="{pairs_file(rows=120).name}"}}]',
            "data.validation=0.2",
            f"model.base={base_folder('bert')}",
            "prompt.max_length=96",
            "train.batch_size=8",
            "train.tokens_per_batch=512",
            "train.lr=3e-3",
        ]
        return load_recipe(path, [*usual, *overrides])

    return make


class Notes:
    """A watcher that keeps what it is told."""

    def __init__(self):
        self.notices: list[str] = []
        self.done: dict[str, tuple[int, int]] = {}

    def notice(self, text):
        self.notices.append(text)

    def progress(self, label, done, total, detail=""):
        self.done[label] = (done, total)


@pytest.fixture
def notes():
    return Notes()
