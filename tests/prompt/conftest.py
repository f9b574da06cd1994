"""Encoders of the three kinds of tokenizer that masked language models come with."""

import pytest

from tinyrm.prompt import BUILTIN, SpecialTokens, TextEncoder

CORPUS = (
    "0 1 good bad chat safety reasoning Select the best response. Question: What is two plus two? Choice: Answer: "
    "Topic: Response: Human: Assistant: System: yes no four five x y z … [MASK] [SEP] [CLS] </s> <mask>"
)
SHAPES = [*((kind, slot) for kind in BUILTIN for slot in ("last", "first")), ("single", "between")]
"""Every kind of template with every place that its slot may have."""


def byte_level():
    """As RoBERTa's: byte pairs with `<mask>` and `</s>`, where no text is unknown."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", AddedToken("<mask>", lstrip=True, special=True)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    made.train_from_iterator([" " + CORPUS] * 4, trainer)
    return TextEncoder(made, SpecialTokens("<s>", "</s>", "<mask>", "<pad>"))


def sentencepiece():
    """As DeBERTa v3's: a Unigram whose ordinary pieces include the spellings of the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    letters = dict.fromkeys("▁…0123456789[]<>/.,:?!abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    words = dict.fromkeys(f"▁{word}" for word in CORPUS.split() if len(word) > 1 and word not in special)
    pieces = [*((piece, 0.0) for piece in special), *((piece, -9.0) for piece in letters)]
    pieces += [(piece, -4.0) for piece in (*words, "▁0", "▁1")]
    made = Tokenizer(models.Unigram(pieces, unk_id=3))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.add_special_tokens(special)
    return TextEncoder(made, SpecialTokens("[CLS]", "[SEP]", "[MASK]", "[PAD]"))


@pytest.fixture(scope="session", params=["wordpiece", "byte_level", "sentencepiece"])
def any_encoder(request, encoder):
    return {"wordpiece": lambda: encoder, "byte_level": byte_level, "sentencepiece": sentencepiece}[request.param]()
