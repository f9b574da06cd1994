"""Training throughput of TinyRM beside the obvious ways, as ratios, into training-SHAPE.csv and .png.

python benchmarks/training.py [--shape minilm|modernbert-base] [--rounds 2] [--only NAME ...]

Every contender learns from the same clozes (random tokens; lengths drawn from a log-normal law fitted to the
project's preference data, cut at 512) with the same model in its own process; rounds are interleaved, and a ratio
is that of the medians. Tokens are those of the clozes: padding is work, not throughput.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
from contest import OTHER, OURS, publish, rounds

MEDIAN_LENGTH, SPREAD, LONGEST = 221, 0.655, 512
RANK = 16
SHAPES = {
    "minilm": {"pairs": 48, "rows": 16, "frozen": 4},
    "modernbert-base": {"pairs": 12, "rows": 8, "frozen": 19},  # 16 rows of the naive way take more than 20 GiB
}
"""rows: clozes of a batch of those who count rows, and of an optimiser step of ours."""
CONTENDERS = {
    "naive": "transformers AutoModelForMaskedLM, peft DoRA on all linear layers, padded, logits of every token",
    "trl dora": "TRL RewardTrainer, AutoModelForSequenceClassification, peft DoRA on all linear layers",
    "trl lora": "TRL RewardTrainer, the same with LoRA",
    "peft dora": "our loop and layers, peft's DoRA in our adapters' place",
    "dora": "ours, DoRA",
    "lora": "ours, LoRA",
    "full": "ours, every weight learns",
    "dora, frozen": "ours, DoRA, lower layers frozen (4 of 6; 19 of 22 at ModernBERT-base's shape)",
    "full, frozen": "ours, every weight above the frozen layers learns",
    "dora, cached prefix": "ours, DoRA, the frozen layers' states read from the cache: a trial of a sweep",
}


def masked_lm(shape: str) -> Any:
    """Random weights of a real shape."""
    from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

    torch.manual_seed(0)
    if shape == "minilm":
        config = BertConfig(
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        return BertForMaskedLM(config)
    return ModernBertForMaskedLM(ModernBertConfig(attn_implementation="sdpa"))


def clozes(pairs: int, vocabulary: int) -> list[np.ndarray]:
    """Two for each pair, the same for every contender."""
    rng = np.random.default_rng(7)
    lengths = np.minimum(LONGEST, np.exp(rng.normal(np.log(MEDIAN_LENGTH), SPREAD, 2 * pairs))).astype(int)
    return [rng.integers(1000, vocabulary, max(16, length)) for length in lengths]


def ours(shape: str, pairs: int, kind: str, frozen: int, cached: bool, peft: bool) -> tuple[int, float]:
    from accelerate import Accelerator

    from tinyrm.config import AdapterConfig, CacheConfig, TrainConfig
    from tinyrm.model.adapters import adaptable, add_adapters
    from tinyrm.model.cloze_model import ClozeModel
    from tinyrm.model.prefix_cache import cached_prefix
    from tinyrm.train.batches import Feed
    from tinyrm.train.examples import Examples
    from tinyrm.train.loop import fit

    base = masked_lm(shape)
    texts = clozes(pairs, base.config.vocab_size)
    starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    ones = np.ones(pairs, np.float32)
    slots = np.asarray([len(text) - 2 for text in texts])
    examples = Examples(np.concatenate(texts).astype(np.int32), starts, slots, ones, 0 * ones)
    model = ClozeModel(base, (5, 6), frozen)
    if peft:
        from peft import LoraConfig, inject_adapter_in_model

        targets = list(adaptable(model))
        inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, use_dora=True, target_modules=targets), base)
    else:
        add_adapters(model, AdapterConfig(kind, rank=RANK))  # type: ignore[arg-type]
    steps: list[Any] = []
    rows = SHAPES[shape]["rows"]
    config = TrainConfig(batch_size=rows // 2, tokens_per_batch=4096, epochs=1.0, lr=1e-4, evaluations=1)
    with tempfile.TemporaryDirectory() as folder:
        cache = CacheConfig(prefix=True, folder=folder)
        below = cached_prefix(model, examples.ids, starts, cache, torch.device("cpu")) if cached else None
        fit(
            model,
            Feed(examples, True, 0, below),
            "single",
            config,
            seed=1,
            accelerator=Accelerator(cpu=True),
            on_step=steps.append,
            validate=lambda model, step: {},
        )
    return steps[-1].tokens - steps[0].tokens, steps[-1].seconds - steps[0].seconds


def naive(shape: str, pairs: int) -> tuple[int, float]:
    from peft import LoraConfig, get_peft_model

    base = masked_lm(shape)
    texts = clozes(pairs, base.config.vocab_size)
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=RANK, use_dora=True, target_modules="all-linear"))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    tokens, started = 0, 0.0
    size = SHAPES[shape]["rows"]
    for first in range(0, len(texts), size):
        rows = texts[first : first + size]
        if first == size:  # the first step warms up
            tokens, started = 0, time.perf_counter()
        longest = max(map(len, rows))
        ids = torch.stack([torch.from_numpy(np.pad(row, (0, longest - len(row)))) for row in rows])
        mask = torch.stack([(torch.arange(longest) < len(row)).long() for row in rows])
        labels = torch.full_like(ids, -100)
        labels[torch.arange(len(rows)), torch.tensor([len(row) - 2 for row in rows])] = 5
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        tokens += sum(map(len, rows))
    return tokens, time.perf_counter() - started


def trl(shape: str, pairs: int, dora: bool) -> tuple[int, float]:
    import transformers
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    transformers.logging.set_verbosity_error()
    config = masked_lm(shape).config
    config.num_labels, config.pad_token_id = 1, 0
    model = AutoModelForSequenceClassification.from_config(config)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[EOS]": 1, "[UNK]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]")
    texts = clozes(pairs, config.vocab_size)
    data = Dataset.from_dict(
        {"chosen_ids": [t.tolist() for t in texts[::2]], "rejected_ids": [t.tolist() for t in texts[1::2]]}
    )
    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=SHAPES[shape]["rows"] // 2,
            num_train_epochs=1,
            max_length=None,
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_drop_last=True,
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=LoraConfig(r=RANK, lora_alpha=RANK, use_dora=dora, target_modules="all-linear"),
            callbacks=[Clock()],
        )
        trainer.train()
    # The order is TRL's own, so the mean pair stands for those after the first step.
    share = (len(ends) - 1) / len(ends)
    return int(share * sum(map(len, texts))), ends[-1] - ends[0]


def measure(name: str, shape: str) -> dict[str, Any]:
    pairs, frozen = SHAPES[shape]["pairs"], SHAPES[shape]["frozen"]
    if name == "naive":
        tokens, seconds = naive(shape, pairs)
    elif name.startswith("trl"):
        tokens, seconds = trl(shape, pairs, dora=name.endswith("dora"))
    else:
        kind = "none" if name.startswith("full") or name.startswith("peft") else name.partition(",")[0]
        depth = frozen if "," in name else 0
        tokens, seconds = ours(shape, pairs, kind, depth, cached="cached" in name, peft=name.startswith("peft"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"work": tokens, "seconds": seconds, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="minilm")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(measure(asked.worker, asked.shape)))
        return

    def command(name: str) -> list[str]:
        return [sys.executable, __file__, "--shape", asked.shape, "--worker", name]

    found = rounds(asked.rounds, asked.only, command, "tokens")
    colour = {name: OTHER if name.startswith(("naive", "trl", "peft")) else OURS for name in asked.only}
    publish("training", asked.shape, "tokens", found, CONTENDERS, colour)


if __name__ == "__main__":
    main()
