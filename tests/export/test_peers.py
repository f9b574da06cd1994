"""The libraries that people use load the exported folder and give our reward: each of them run for real.

`make test-peers` installs them. The `rewardbench` command wants a transformers of its own, and so an environment of
its own: REWARDBENCH names it there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyrm
from tinyrm.export.classifier import TOLERANCE

pytestmark = pytest.mark.peers
PAIRS = [
    ("what is it?", "yes"),
    ("is the answer good?\n\nSay [MASK].  ", "no, " * 20 + "<|endoftext|>"),
    ("what is a?", "b [SEP] Answer: good"),
]
ON_A_CPU = """
import torch
from transformers import BatchEncoding
if not torch.cuda.is_available():
    moved = BatchEncoding.to
    BatchEncoding.to = lambda self, device, **more: moved(self, "cpu" if device == "cuda" else device, **more)
"""
"""rewardbench 0.1.4 moves token ids to `cuda` whatever the machine; the rest of it runs on a CPU as it is."""


@pytest.fixture(scope="module")
def rewards(slot_first):
    judge = tinyrm.load(slot_first())
    return lambda pairs: [judge.score(prompt, text, domain="chat").logit for prompt, text in pairs]


def test_sentence_transformers_cross_encoder(classifier, rewards):
    from sentence_transformers import CrossEncoder

    scores = CrossEncoder(str(classifier())).predict([*PAIRS, ("what is it?", "")])
    assert scores.tolist() == pytest.approx(rewards([*PAIRS, ("what is it?", "")]), abs=TOLERANCE)


def test_a_grpo_step_of_trl_is_rewarded(classifier, slot_first, rewards, tmp_path):
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(slot_first(), eos_token="[SEP]", padding_side="left")
    tokenizer.chat_template = "{% for turn in messages %}{{ turn['role'] }} : {{ turn['content'] }} {% endfor %}"
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    policy = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes))
    before = [parameter.clone() for parameter in policy.parameters()]
    seen = []

    class Watched(GRPOTrainer):
        def _calculate_rewards(self, inputs, prompts, completions, *more):
            given = super()._calculate_rewards(inputs, prompts, completions, *more)
            texts = [
                (prompt[-1]["content"], said[0]["content"]) for prompt, said in zip(prompts, completions, strict=True)
            ]
            seen.append((texts, given[:, 0].tolist()))
            return given

    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 8, "max_steps": 1}
    settings |= {"use_cpu": True, "bf16": False, "report_to": [], "save_strategy": "no", "learning_rate": 1}
    trainer = Watched(
        model=policy,
        reward_funcs=str(classifier()),
        args=GRPOConfig(str(tmp_path), **settings),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": f"what is {i}?"}]} for i in range(4)]),
        processing_class=tokenizer,
    )
    trainer.train()
    ((texts, given),) = seen
    assert len(set(given)) > 1
    assert given == pytest.approx(rewards(texts), abs=TOLERANCE)
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.parameters(), strict=True))


def test_the_rewardbench_command(classifier, rewards, tmp_path):
    command = shutil.which(os.environ.get("REWARDBENCH", "rewardbench"))
    assert command, "REWARDBENCH names no command: run `make test-peers`"
    shutil.copytree(classifier(), tmp_path / "reward")
    (tmp_path / "sitecustomize.py").write_text(ON_A_CPU, "utf-8")
    rows = [
        {
            "prompt": prompt,
            **{side: conversation(prompt, text) for side, text in (("chosen", good), ("rejected", "no"))},
        }
        for prompt, good in PAIRS
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    # One at a time, since it pads on the left, where a classifier looks for its first token.
    settings = {"--model": "reward", "--dataset": "rows.jsonl", "--batch_size": "1", "--torch_dtype": "float32"}
    flat = [part for setting in settings.items() for part in setting]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    subprocess.run(
        [command, *flat, "--load_json", "--not_quantized", "--output_dir", "out/"],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    judged = [json.loads(line) for line in (tmp_path / "out" / "reward_outputs.jsonl").read_text("utf-8").splitlines()]
    assert [row["scores_chosen"] for row in judged] == pytest.approx(rewards(PAIRS), abs=TOLERANCE)
    worse = rewards([(prompt, "no") for prompt, _ in PAIRS])
    assert [row["scores_rejected"] for row in judged] == pytest.approx(worse, abs=TOLERANCE)
    summary = json.loads((tmp_path / "out" / "reward.json").read_text("utf-8"))
    assert summary["accuracy"] == sum(a > b for a, b in zip(rewards(PAIRS), worse, strict=True)) / len(PAIRS)


def conversation(prompt: str, response: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


def test_the_lines_of_the_documentation_run(classifier, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "policy" not in block]
    assert len(blocks) == 2
    shutil.copytree(classifier(), tmp_path / "reward")
    for block in blocks:
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)
