"""The formula against torch's own counter, on models with random weights."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import FAMILIES, random_masked_lm

from tinyrm.errors import UserError
from tinyrm.evaluate.cost import (
    Architecture,
    Cost,
    Work,
    architecture_of,
    flops,
    measure,
    sizes_known,
)
from tinyrm.evaluate.published import PUBLISHED

MINILM = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "vocab_size": 30522,
}
MODERNBERT_BASE = {
    "model_type": "modernbert",
    "hidden_size": 768,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "intermediate_size": 1152,
    "vocab_size": 50368,
}
MODERNBERT_LARGE = MODERNBERT_BASE | {
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "intermediate_size": 2624,
}


VOCABULARY = 200
WORDS = 3


def counted(run):
    """What torch counts; `math` attention, since its counter knows no fused attention of a CPU."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def sequence(tokens):
    import torch

    return torch.arange(tokens)[None] % 100 + 5


@pytest.mark.parametrize("tokens", [1, 9, 40])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cloze_costs_what_torch_counts(family, tokens):
    """Our engine; a long ModernBERT would attend in chunks, which see a little more than they need."""
    from tinyrm.model.cloze_model import ClozeModel
    from tinyrm.model.layout import lay_out

    masked_lm = random_masked_lm(family, VOCABULARY, layers=3, width=64)
    masked_lm.config.local_attention = 200  # beyond the sequence: no chunks
    model = ClozeModel(masked_lm, range(5, 5 + WORDS))
    ids, layout = lay_out(
        sequence(tokens)[0].numpy(), np.array([tokens]), np.array([tokens // 2]), packs=model.packs, pad=0
    )
    architecture = architecture_of(masked_lm.config.to_dict())
    expected = flops(architecture, tokens, words=WORDS)
    # The answer words are a sum of products, which the counter does not see: 2 k d.
    assert counted(lambda: model(ids, layout)) + 2 * WORDS * 64 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("head", ["cls", "mean", "match"])
def test_a_new_head_costs_what_torch_counts(head):
    from tinyrm.model.cloze_model import ClozeModel
    from tinyrm.model.layout import lay_out

    masked_lm = random_masked_lm("bert", VOCABULARY, layers=1, width=64)
    words = range(5, 205)  # many, so that the head shows
    ids, layout = lay_out(sequence(9)[0].numpy(), np.array([9]), np.array([4]), packs=True, pad=0)
    found = counted(lambda: ClozeModel(masked_lm, words, head=head)(ids, layout))
    architecture = architecture_of(masked_lm.config.to_dict())
    assert found == pytest.approx(flops(architecture, 9, head=head, words=len(words)), rel=0.01)


@pytest.mark.parametrize("tokens", [1, 40])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_classifier_costs_what_torch_counts(family, tokens):
    import transformers

    config = random_masked_lm(family, VOCABULARY, layers=3, width=64).config
    config.num_labels, config._attn_implementation = WORDS, "eager"
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    found = counted(lambda: model(sequence(tokens)))
    expected = flops(architecture_of(config.to_dict()), tokens, head="classifier", words=WORDS, square=True)
    assert found == pytest.approx(expected, rel=0.01)


DECODERS = {
    "llama": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 32},
    "mistral": {"num_key_value_heads": 4, "sliding_window": 16},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 16, "sliding_window": 16},
    "gpt_neox": {},
    "gpt2": {},
}


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_costs_what_torch_counts(family):
    import transformers

    size = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "pad_token_id": 0,
        **DECODERS[family],
    }
    if family == "gpt2":
        size = {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(family, **size, num_labels=WORDS, attn_implementation="eager")
    architecture = architecture_of(config.to_dict())
    judge = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    writer = transformers.AutoModelForCausalLM.from_config(config).eval()
    expected = flops(architecture, 40, head="classifier", words=WORDS, square=True)
    assert counted(lambda: judge(sequence(40), use_cache=False)) == pytest.approx(expected, rel=0.01)
    expected = flops(architecture, 40, head="lm", square=True)
    found = counted(lambda: writer(sequence(40), use_cache=False, logits_to_keep=1))
    assert found == pytest.approx(expected, rel=0.01)


@given(st.integers(1, 60), st.one_of(st.none(), st.integers(0, 70)), st.booleans())
def test_scores_are_those_of_the_tokens_that_may_be_seen(tokens, near, causal):
    """Pairs are counted one by one: what is more than the same layer would cost without any attention."""
    sizes = {"width": 0, "queries": 1, "keys": 0, "inner": 0, "vocabulary": 0, "causal": causal}
    reach = tokens if near is None else near
    seen = sum(abs(i - j) <= reach and (j <= i or not causal) for i in range(tokens) for j in range(tokens))
    assert flops(Architecture("any", near=(near,), **sizes), tokens, head="mean", words=0) == 4 * seen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_slot_alone_and_near_keys_alone_cost_less(family):
    architecture = architecture_of(random_masked_lm(family, VOCABULARY).config.to_dict())
    everywhere = flops(architecture, 256, head="classifier")
    assert (flops(architecture, 256) < everywhere) == (family != "deberta-v2")  # whose last layer is run whole
    assert (everywhere < flops(architecture, 256, head="classifier", square=True)) == (family == "modernbert")


def test_known_models_have_their_known_sizes():
    """Two operations a weight of the layers, and a little attention: 10.6 million weights of MiniLM's layers."""
    minilm = flops(architecture_of(MINILM), 1, head="mean", words=0)
    assert minilm == pytest.approx(2 * 10.6e6, rel=0.01)
    architecture = architecture_of(MODERNBERT_BASE)
    assert [near is None for near in architecture.near] == [layer % 3 == 0 for layer in range(22)]
    assert set(architecture.near) == {64, None}
    assert flops(architecture, 1, head="mean", words=0) == pytest.approx(2 * 110e6, rel=0.01)
    large = flops(architecture_of(MODERNBERT_LARGE), 1, head="mean", words=0)
    assert large == pytest.approx(2 * 343e6, rel=0.01)


def test_cost_of_work():
    architecture = architecture_of(MINILM)
    work = Work(pairs=2, responses=3, seconds=0.5, lengths=Counter({10: 1, 40: 2}))
    cost = measure(work, architecture)
    total = flops(architecture, 10) + 2 * flops(architecture, 40)
    assert cost.gflops_per_response == pytest.approx(total / 3e9)
    assert cost.gflops_per_token == pytest.approx(total / 90e9)
    assert (cost.tokens_per_response, cost.pairs_per_second, cost.tokens_per_second) == (30, 4, 180)
    assert cost.peak_memory_mb > 20
    assert "GFLOPs a response" in str(cost)
    json.dumps(cost.__dict__)


def test_what_is_not_known_is_left_out():
    cost = measure(Work(pairs=4, seconds=2.0))
    assert (cost.gflops_per_token, cost.gflops_per_response, cost.tokens_per_second) == (None, None, None)
    assert str(cost).startswith("2.0 pairs a second")
    assert isinstance(measure(Work()), Cost)


def test_configs_that_cannot_be_read():
    with pytest.raises(UserError, match="'t5' is not known; known: bert"):
        architecture_of({"model_type": "t5"})
    with pytest.raises(UserError, match="of a bert: KeyError"):
        architecture_of({"model_type": "bert", "hidden_size": 3})
    with pytest.raises(UserError, match="of a llama: ValueError"):
        architecture_of(MINILM | {"model_type": "llama", "hidden_size": "wide"})


@given(st.sampled_from(sizes_known()), st.dictionaries(st.sampled_from(sorted(MINILM)), st.text() | st.none()))
def test_no_config_crashes(family, broken):
    config = MINILM | {"n_embd": 8, "n_layer": 1} | broken | {"model_type": family}
    try:
        assert flops(architecture_of(config), 7) > 0
    except UserError:
        assert broken


def test_published_points_are_the_papers():
    """Overall is the mean of the three domains, as far as the paper's rounding lets one see."""
    for point in PUBLISHED:
        assert point.overall == pytest.approx((point.chat + point.reasoning + point.safety) / 3, abs=0.06)
    assert [point.gflops_per_token for point in PUBLISHED] == [0.34, 0.19, 78.1]
