"""Small random models and a tokenizer, made in memory: nothing is downloaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made says something of the machine, nothing of the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

WORDS = (  # noqa: SIM905
    "0 1 good bad chat safety reasoning what is the answer question response choice select best a b c d e f g "
    "h i j k l m n o p q r s t u v w x y z two plus four five yes no . , : ? ! … ( ) [ ] / < > = + - ' \" "
    "human assistant system"
).split()
FAMILIES = ("bert", "modernbert", "roberta", "deberta-v2")


@pytest.fixture(scope="session")
def tokenizer():
    """A WordPiece tokenizer over a few words and all letters, with BERT's special tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *dict.fromkeys(WORDS), *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture(scope="session")
def encoder(tokenizer):
    from tinyrm.prompt import SpecialTokens, TextEncoder

    return TextEncoder(tokenizer.backend_tokenizer, SpecialTokens("[CLS]", "[SEP]", "[MASK]", "[PAD]"))


def random_masked_lm(family: str, vocabulary: int, layers: int = 2, width: int = 32):
    """A masked LM of a family with random weights large enough for its logits to differ visibly."""
    import torch
    import transformers as hf

    torch.set_num_threads(1)
    torch.manual_seed(7)
    size = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": width * 3 // 2,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }
    ends = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    if family == "bert":
        model = hf.BertForMaskedLM(hf.BertConfig(**size))
    elif family == "modernbert":
        model = hf.ModernBertForMaskedLM(hf.ModernBertConfig(**size, **ends, local_attention=16))
    elif family == "roberta":
        model = hf.RobertaForMaskedLM(hf.RobertaConfig(**size | {"max_position_embeddings": 514}))
    else:
        relative = {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]}
        model = hf.DebertaV2ForMaskedLM(hf.DebertaV2Config(**size, **relative, norm_rel_ebd="layer_norm"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.4 / width**0.5)
    return model.eval()


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory, tokenizer):
    """`base_folder(family)`: a folder with a random masked LM and its tokenizer, as the Hub would give it."""
    made: dict[tuple[str, int], Path] = {}

    def folder(family: str, width: int = 32) -> Path:
        key = (family, width)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family.replace("-", ""))
            random_masked_lm(family, len(tokenizer), width=width).save_pretrained(made[key])
            tokenizer.save_pretrained(made[key])
        return made[key]

    return folder


@pytest.fixture(scope="session")
def headless_folder(tmp_path_factory, base_folder, tokenizer):
    """A BERT that was saved without its MLM head, as sentence encoders are."""
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("headless")
    BertModel.from_pretrained(base_folder("bert")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory, base_folder):
    """`checkpoint_folder(family, kinds)`: a TinyRM checkpoint with random weights and the templates of these kinds."""
    made: dict[tuple[str, tuple[str, ...], int, str], Path] = {}

    def folder(family: str, kinds: tuple[str, ...] = ("single", "pair"), width: int = 32, head: str = "cloze") -> Path:
        import torch

        from tinyrm.model.base import load_base
        from tinyrm.model.calibration import Calibration
        from tinyrm.model.cloze_model import ClozeModel
        from tinyrm.model.saving import save_checkpoint
        from tinyrm.prompt import ClozeWriter, builtin

        key = (family, kinds, width, head)
        if key not in made:
            base = load_base(str(base_folder(family, width)))
            slot = "between" if head == "match" else "last"
            writers = {kind: ClozeWriter(base.encoder, builtin(kind, slot, max_length=128)) for kind in kinds}
            words = [i for writer in writers.values() for i in writer.word_ids]
            model = ClozeModel(base.masked_lm, words, head=head)
            if model.branch.classifier is not None:  # which starts at nothing
                torch.nn.init.normal_(model.branch.classifier.weight, generator=torch.Generator().manual_seed(5))
            made[key] = tmp_path_factory.mktemp("checkpoint")
            save_checkpoint(
                made[key],
                model,
                writers,
                name=f"random-{family}",
                calibration={kind: Calibration(1.7, 0.1) for kind in kinds},
                metrics={},
            )
        return made[key]

    return folder


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory, checkpoint_folder):
    """`exported_folder(family)`: the checkpoint of a family with both templates as ONNX in float32."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        from tinyrm.export.onnx import export_onnx

        if family not in made:
            made[family] = tmp_path_factory.mktemp("onnx")
            export_onnx(checkpoint_folder(family), made[family], weights="float32")
        return made[family]

    return folder


@pytest.fixture(scope="session")
def default_model():
    """The model that ships in the package."""
    import tinyrm

    return tinyrm.load()


@pytest.fixture
def pairs_file(tmp_path):
    """`pairs_file(rows)`: a JSONL file of preferences that are easy to learn: the chosen response says yes."""

    def write(rows: int = 60, name: str = "pairs.jsonl") -> Path:
        path = tmp_path / name
        domains = ("chat", "safety", "reasoning")
        lines = [
            {
                "prompt": f"question {chr(97 + i % 26)} {chr(97 + i // 26)}?",
                "chosen": "yes " * (1 + i % 3),
                "rejected": "no " * (1 + i % 4),
                "domain": domains[i % 3],
            }
            for i in range(rows)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return path

    return write


@pytest.fixture
def recipe(tmp_path, pairs_file, base_folder):
    """`recipe(*overrides)`: a run over easy pairs that takes a second."""
    from tinyrm.config import load_recipe

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
