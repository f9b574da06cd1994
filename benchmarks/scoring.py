"""Responses scored per second by TinyRM and by what else could score them, into scoring-SHAPE.csv and .png.

python benchmarks/scoring.py FILE... [--shape minilm|modernbert-base] [--responses 256] [--rounds 3]
    [--only NAME ...] [--python NAME=INTERPRETER ...]

Every contender scores the same responses, drawn evenly from files of preferences, with the same encoder in its own
process; text is tokenised within the time. Rounds are interleaved, and a ratio is that of the medians. The levers are
told apart by ways that each add one to the way before. A peer that needs packages of its own is named with the
interpreter that has them; without it, it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contest import LEVER, OTHER, OURS, publish, rounds

ROWS = 32
"""Of a batch of those who count rows."""
LONGEST = 512
CONTENDERS = {
    "naive": "transformers AutoModelForMaskedLM: padded, in the file's order, logits of every token",
    "+ answer words": "the same, the MLM head at the slot for two words alone",
    "+ length order": "the same, sorted by length",
    "+ small batches": "the same, 2,048 tokens a batch",
    "ours, torch": "ours: packed, lean layers, the last one for the slot alone",
    "ours, onnx": "ours: ONNX Runtime, float32",
    "ours, onnx int8": "ours: ONNX Runtime, weights stored as int8, arithmetic in float32: what ships",
    "ours, int8 arithmetic": "ours: ONNX Runtime, arithmetic in int8",
    "ours, openvino": "ours: OpenVINO, float32",
    "ours, openvino int8": "ours: OpenVINO, weights stored as int8, arithmetic in int8",
    "pipeline": "transformers text-classification pipeline, 32 rows a batch",
    "cross-encoder": "sentence-transformers CrossEncoder, torch, 32 rows a batch",
    "cross-encoder onnx": "sentence-transformers CrossEncoder, its ONNX back-end, 32 rows a batch",
    "rewardbench": "the rewardbench command, 32 rows a batch (the difference of a long and a short run)",
}
ON_A_CPU = """
import torch
from transformers import BatchEncoding
if not torch.cuda.is_available():
    moved = BatchEncoding.to
    BatchEncoding.to = lambda self, device, **more: moved(self, "cpu" if device == "cuda" else device, **more)
"""
"""rewardbench 0.1.4 moves token ids to `cuda` whatever the machine."""
ELSEWHERE = ("cross-encoder", "cross-encoder onnx", "rewardbench")
"""Contenders that need an interpreter of their own."""
BACKENDS = {
    "ours, torch": ("checkpoint", "torch"),
    "ours, onnx": ("float32", "onnx"),
    "ours, onnx int8": ("int8", "onnx"),
    "ours, int8 arithmetic": ("int8-arithmetic", "onnx"),
    "ours, openvino": ("float32", "openvino"),
    "ours, openvino int8": ("int8", "openvino-int8"),
}


def models(folder: Path, shape: str) -> None:
    """The same encoder in every form that a contender reads."""
    import torch
    import transformers

    from tinyrm.export.onnx import export_onnx
    from tinyrm.model.base import load_base
    from tinyrm.model.cloze_model import ClozeModel
    from tinyrm.model.saving import save_checkpoint
    from tinyrm.prompt import ClozeWriter, builtin

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    base = load_base("minilm")
    masked_lm = base.masked_lm
    if shape == "modernbert-base":
        masked_lm = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(pad_token_id=base.encoder.pad))
    writer = ClozeWriter(base.encoder, builtin("single", max_length=LONGEST))
    checkpoint = folder / "checkpoint"
    model = ClozeModel(masked_lm, writer.word_ids)
    save_checkpoint(checkpoint, model, {"single": writer}, name="random", calibration={}, metrics={})
    for weights in ("float32", "int8", "int8-arithmetic"):
        export_onnx(checkpoint, folder / weights, weights=weights)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1)
    classifier.save_pretrained(folder / "classifier")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(checkpoint / "tokenizer.json"),
        model_max_length=LONGEST,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        unk_token="[UNK]",
    )
    tokenizer.save_pretrained(folder / "classifier")
    settings = folder / "classifier" / "tokenizer_config.json"  # the class has this name in transformers 4 and in 5
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))


def texts(files: Sequence[str], count: int) -> list[tuple[str, str]]:
    """(prompt, response), drawn evenly from the files."""
    from tinyrm.data import load_preferences

    rows = [row for file in files for row in load_preferences(file).preferences]
    found = [
        ("\n".join(turn.content for turn in row.prompt), side) for row in rows for side in (row.chosen, row.rejected)
    ]
    return [found[i * len(found) // count] for i in range(min(count, len(found)))]


def scorer(name: str, folder: Path) -> Callable[[list[tuple[str, str]]], object]:
    """What scores (prompt, response) pairs, loaded and ready."""
    if name in BACKENDS:
        import tinyrm
        from tinyrm.types import to_prompt

        form, backend = BACKENDS[name]
        model = tinyrm.load(folder / form, backend=backend)
        return lambda texts: model.score_many([(to_prompt(prompt), text) for prompt, text in texts])
    if name == "pipeline":
        import transformers

        pipe = transformers.pipeline("text-classification", str(folder / "classifier"), device="cpu")
        return lambda texts: pipe(
            [{"text": prompt, "text_pair": text} for prompt, text in texts],
            batch_size=ROWS,
            truncation=True,
            function_to_apply="none",
        )
    if name.startswith("cross-encoder"):
        from sentence_transformers import CrossEncoder

        encoder = CrossEncoder(
            str(folder / "classifier"),
            backend="onnx" if name.endswith("onnx") else "torch",
            device="cpu",
            max_length=LONGEST,
        )
        return lambda texts: encoder.predict(texts, batch_size=ROWS)
    return by_hand(name, folder)


def by_hand(name: str, folder: Path) -> Callable[[list[tuple[str, str]]], object]:
    """The naive way, and the levers that are added to it one by one."""
    import numpy as np
    import torch
    from transformers import AutoModelForMaskedLM

    from tinyrm.infer.engine import TOKENS_PER_BATCH
    from tinyrm.model.checkpoint import open_checkpoint
    from tinyrm.prompt import Question
    from tinyrm.types import to_prompt

    writer = open_checkpoint(folder / "checkpoint").writers()["single"]
    model = AutoModelForMaskedLM.from_pretrained(folder / "checkpoint").eval()
    encoder = model.base_model
    transform = model.cls.predictions.transform if hasattr(model, "cls") else model.head
    decoder = model.get_output_embeddings()
    words = torch.tensor(writer.word_ids)

    def logits(ids: torch.Tensor, mask: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(ids))
        if name == "naive":
            return model(input_ids=ids, attention_mask=mask).logits[rows, slots][:, words]
        states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state[rows, slots]
        return transform(states) @ decoder.weight[words].T + decoder.bias[words]

    def batches(lengths: Sequence[int]) -> list[list[int]]:
        order = list(range(len(lengths)))
        if name in ("+ length order", "+ small batches"):
            order.sort(key=lambda i: -lengths[i])
        if name != "+ small batches":
            return [order[i : i + ROWS] for i in range(0, len(order), ROWS)]
        made: list[list[int]] = []
        while order:
            size = max(1, TOKENS_PER_BATCH // lengths[order[0]])
            made.append(order[:size])
            order = order[size:]
        return made

    @torch.inference_mode()
    def score(texts: list[tuple[str, str]]) -> object:
        clozes = writer.write([Question(to_prompt(prompt), (text,), None) for prompt, text in texts])
        found = np.zeros((len(clozes), 2), np.float32)
        for rows in batches([len(cloze.ids) for cloze in clozes]):
            longest = max(len(clozes[i].ids) for i in rows)
            ids = torch.full((len(rows), longest), writer.encoder.pad)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(rows):
                ids[row, : len(clozes[i].ids)] = torch.tensor(clozes[i].ids)
                mask[row, : len(clozes[i].ids)] = 1
            found[rows] = logits(ids, mask, torch.tensor([clozes[i].slot for i in rows])).numpy()
        return found

    return score


def rewardbench(folder: Path, texts: list[tuple[str, str]]) -> float:
    """Seconds for the texts, as pairs; start-up and loading cancel out of two runs of different length."""
    command = str(Path(sys.executable).parent / "rewardbench")
    flags = [f"--model={folder / 'classifier'}", "--load_json", f"--batch_size={ROWS}", f"--max_length={LONGEST}"]
    flags += ["--torch_dtype=float32", "--attn_implementation=sdpa", "--not_quantized"]
    (folder / "sitecustomize.py").write_text(ON_A_CPU, "utf-8")
    environment = os.environ | {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}

    def run(part: list[tuple[str, str]], name: str) -> float:
        pairs = [
            {"prompt": prompt, "chosen": conversation(prompt, text), "rejected": conversation(prompt, other)}
            for (prompt, text), (_, other) in zip(part[::2], part[1::2], strict=False)
        ]
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
        started = time.perf_counter()
        done = subprocess.run(
            [command, *flags, f"--dataset={file}", f"--output_dir={folder / name}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        return time.perf_counter() - started

    few = texts[: len(texts) // 8]
    return (run(texts, "long") - run(few, "short")) * len(texts) / (len(texts) - len(few))


def conversation(prompt: str, response: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


def measure(name: str, folder: Path) -> dict[str, Any]:
    texts = [tuple(pair) for pair in json.loads((folder / "texts.json").read_text("utf-8"))]
    if name == "rewardbench":
        seconds = rewardbench(folder, texts)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return {"work": len(texts), "seconds": seconds, "peak_mib": children}
    score = scorer(name, folder)
    score(texts[:: len(texts) // 4])  # warms up
    started = time.perf_counter()
    score(texts)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"work": len(texts), "seconds": seconds, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="preferences whose responses are scored")
    parser.add_argument("--shape", choices=("minilm", "modernbert-base"), default="minilm")
    parser.add_argument("--responses", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--python", nargs="*", default=[], metavar="NAME=INTERPRETER")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(measure(asked.worker, asked.folder)))
        return
    if asked.folder:
        models(asked.folder, asked.shape)
        (asked.folder / "texts.json").write_text(json.dumps(texts(asked.files, asked.responses)), "utf-8")
        return
    interpreters = dict(entry.split("=", 1) for entry in asked.python)
    names = [name for name in asked.only if name not in ELSEWHERE or name in interpreters]
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: what a process has used at most is also said of those that it starts.
        subprocess.run([sys.executable, *sys.argv, "--folder", folder], check=True)

        def command(name: str) -> list[str]:
            return [interpreters.get(name, sys.executable), __file__, "--folder", folder, "--worker", name]

        found = rounds(asked.rounds, names, command, "responses")
    colour = {name: OURS if name.startswith("ours") else LEVER if name.startswith("+") else OTHER for name in names}
    publish("scoring", asked.shape, "responses", found, CONTENDERS, colour)


if __name__ == "__main__":
    main()
