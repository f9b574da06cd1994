"""A cloze with its blank first, which is what a plain classifier can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import random_masked_lm


def byte_level(special: tuple[str, ...]):
    """A tokenizer like ModernBERT's: bytes, NFC, runs of blanks as tokens, a `[MASK]` that eats the blank before it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    text = " good bad 0 1 yes no what is the answer? Is response helpful, relevant, correct? Question: Human: System:"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([text] * 50, trainer)
    made.add_tokens([AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    made.add_tokens([AddedToken("<code>", normalized=False)])
    made.add_special_tokens([AddedToken(name, lstrip=name == "[MASK]", special=True) for name in special])
    return made


@pytest.fixture(scope="session")
def slot_first(tmp_path_factory, tokenizer):
    """`slot_first(kind, ...)`: a random checkpoint with a byte-level or a WordPiece tokenizer."""
    made: dict[tuple, Path] = {}

    def folder(kind="bytes", family="modernbert", slot="first", head="cloze", templates=("pair", "single")) -> Path:
        from tinyrm.model.calibration import Calibration
        from tinyrm.model.cloze_model import ClozeModel
        from tinyrm.model.saving import save_checkpoint
        from tinyrm.prompt import ClozeWriter, SpecialTokens, TextEncoder, builtin

        key = (kind, family, slot, head, templates)
        if key not in made:
            special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>")
            backend = byte_level(special) if kind == "bytes" else tokenizer.backend_tokenizer
            encoder = TextEncoder(backend, SpecialTokens("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
            writers = {name: ClozeWriter(encoder, builtin(name, slot=slot, max_length=256)) for name in templates}
            model = random_masked_lm(family, backend.get_vocab_size() + 7)
            words = [i for writer in writers.values() for i in writer.word_ids]
            made[key] = tmp_path_factory.mktemp("first")
            save_checkpoint(
                made[key],
                ClozeModel(model, words, head=head),
                writers,
                name=f"first-{family}",
                calibration={"single": Calibration(1.7, 0.1)},
                metrics={},
            )
        return made[key]

    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory, slot_first):
    """`classifier(kind)`: that checkpoint as a plain classifier with the instruction of chats."""
    made: dict[str, Path] = {}

    def folder(kind="bytes") -> Path:
        from tinyrm.export.classifier import export_classifier

        if kind not in made:
            made[kind] = export_classifier(
                slot_first(kind), tmp_path_factory.mktemp("plain") / "classifier", domain="chat"
            ).folder
        return made[kind]

    return folder
