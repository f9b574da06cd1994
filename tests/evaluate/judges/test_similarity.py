from __future__ import annotations

import numpy as np
import pytest

from tinyrm.evaluate.judges import load_judge
from tinyrm.types import to_prompt


@pytest.fixture(scope="module")
def minilm():
    return load_judge("similarity:minilm")


def test_it_is_what_sentence_transformers_computes(minilm):
    """Mean over tokens, then cosine."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from tinyrm.model.base import resolve

    model = AutoModel.from_pretrained(resolve("minilm")).eval()
    tokenizer = AutoTokenizer.from_pretrained(resolve("minilm"))

    def state(text):
        with torch.no_grad():
            found = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy()
        return found / np.linalg.norm(found)

    rows = [
        (to_prompt("How do I boil an egg?"), text) for text in ("In hot water.", "Paris", "", "How do I boil an egg?")
    ]
    scored = minilm.score_many(rows, lambda done: None)
    expected = [float(state(prompt[0].content) @ state(text)) for prompt, text in rows]
    assert [one.reward for one in scored] == pytest.approx(expected, abs=1e-5)
    assert scored[3].reward == pytest.approx(1.0, abs=1e-5)
    assert max(range(3), key=lambda i: expected[i]) == 0


def test_long_texts_are_cut_to_the_encoders_length(minilm):
    long = "boil the egg " * 300
    (verdict,) = minilm.compare_many([(to_prompt(long), long, "no")])
    assert set(verdict.cut) == {"prompt", "a"}
    assert max(minilm.work.lengths) == minilm.about["max_length"] == 256


def test_facts(minilm):
    assert minilm.about["name"] == "similarity by minilm"
    assert len(minilm.about["sha256"]) == 64
    minilm.compare_many([(to_prompt("one"), "two", "three")])
    assert minilm.cost().gflops_per_token == pytest.approx(0.0213, rel=0.1)


def test_any_encoder_will_do(headless_folder, pairs):
    judge = load_judge(f"similarity:{headless_folder}")
    verdicts = judge.compare_many(pairs)
    assert all(abs(verdict.logit) <= 2 for verdict in verdicts)
