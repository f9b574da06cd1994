"""A model run in our pieces is the model that Hugging Face runs."""

import copy
from functools import cache

import pytest
import torch
import transformers as hf
from tests.conftest import random_masked_lm

from tinyrm.errors import UserError
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.families import FAMILIES, family_of
from tinyrm.model.layout import Padded, lay_out

VOCABULARY = 60
WORDS = (11, 7, 42)
DEBERTAS = {
    "deberta-v2 new head": {"legacy": False},
    "deberta-v2 convolution": {"conv_kernel_size": 3, "conv_act": "gelu"},
    "deberta-v2 no positions": {"position_biased_input": False, "share_att_key": True},
}
NAMES = ("bert", "modernbert", "roberta", "deberta-v2", *DEBERTAS)
# Every third layer of a ModernBERT attends to all places, so with 3 layers the last is local and with 4 it is not.
MODELS = [(name, layers) for name in NAMES for layers in ((3, 4) if name == "modernbert" else (3,))]
DEPTHS = [(name, layers, depth) for name, layers in MODELS for depth in range(layers + 1)]


@cache
def masked_lm(name, layers):
    if name not in DEBERTAS:
        return random_masked_lm(name, VOCABULARY, layers)
    config = copy.deepcopy(random_masked_lm("deberta-v2", VOCABULARY, layers).config)
    for key, value in DEBERTAS[name].items():
        setattr(config, key, value)
    model = hf.DebertaV2ForMaskedLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    return model.eval()


def texts(*lengths):
    """Random ids [rows, longest] that do not hold the padding's 0, and their mask."""
    ids = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return ids * mask, mask


def every_slot(ids, mask):
    """Each row once for each of its tokens: ids, mask and slots."""
    row, slot = mask.nonzero().T
    return ids[row], Padded(mask[row], slot)


def packed(model, ids, layout):
    """The same clozes as the model likes them best: end to end, where its family can."""
    real = layout.mask.bool()
    flat, lengths = ids[real].numpy(), real.sum(dim=1).numpy()
    return lay_out(flat, lengths, layout.slots.numpy(), packs=model.packs, pad=0)


@pytest.mark.parametrize(("name", "layers", "depth"), DEPTHS)
@torch.inference_mode()
def test_padded_rows_have_the_logits_of_the_whole_model(name, layers, depth):
    model = ClozeModel(masked_lm(name, layers), WORDS, frozen=depth)
    ids, mask = texts(40, 27, 12, 3)
    expected = model.masked_lm(input_ids=ids, attention_mask=mask).logits[mask.bool()][:, WORDS]
    torch.testing.assert_close(model(*every_slot(ids, mask)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "layers", "depth"), DEPTHS)
@torch.inference_mode()
def test_packed_clozes_have_the_logits_of_the_whole_model(name, layers, depth):
    model = ClozeModel(masked_lm(name, layers), WORDS, frozen=depth)
    ids, mask = texts(40, 27, 12, 3)
    expected = model.masked_lm(input_ids=ids, attention_mask=mask).logits[mask.bool()][:, WORDS]
    torch.testing.assert_close(model(*packed(model, *every_slot(ids, mask))), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "layers", "depth"), DEPTHS)
@torch.inference_mode()
def test_rows_without_padding_need_no_mask(name, layers, depth):
    model = ClozeModel(masked_lm(name, layers), WORDS, frozen=depth)
    ids, mask = texts(33)
    expected = model.masked_lm(input_ids=ids).logits[0][:, WORDS]
    rows, layout = every_slot(ids, mask)
    torch.testing.assert_close(model(rows, Padded(None, layout.slots)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "layers"), MODELS)
@torch.inference_mode()
def test_all_places_decoded_are_all_logits(name, layers):
    model = ClozeModel(masked_lm(name, layers), WORDS, frozen=1)
    family = family_of(model.masked_lm)
    ids, mask = texts(30, 9)
    layout = Padded(mask, torch.zeros(2, dtype=torch.long))
    expected = model.masked_lm(input_ids=ids, attention_mask=mask).logits
    logits = torch.nn.functional.linear(
        family.transform(model.branch.hidden(model.trunk(ids, layout), layout)), *family.decoder()
    )
    torch.testing.assert_close(logits[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "layers"), MODELS)
def test_much_padding_changes_nothing_and_makes_no_nan(name, layers):
    model = ClozeModel(copy.deepcopy(masked_lm(name, layers)), WORDS)
    ids, mask = texts(300, 3)
    layout = Padded(mask, torch.tensor([150, 1]))
    logits = model(ids, layout)
    alone = model(ids[1:, :3], Padded(None, torch.tensor([1])))
    torch.testing.assert_close(logits[1:], alone, atol=1e-5, rtol=0)
    assert model.branch.hidden(model.trunk(ids, layout), layout).isfinite().all()
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["bert", "roberta"])
@torch.inference_mode()
def test_positions_reach_as_far_as_is_said_and_no_further(name):
    model = ClozeModel(masked_lm(name, 3), WORDS)
    longest = family_of(model.masked_lm).longest()
    ids, _ = texts(longest + 1)
    assert model(ids[:, :-1], Padded(None, torch.tensor([5]))).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(ids, Padded(None, torch.tensor([5])))


def test_an_unsupported_model_is_refused_with_what_is_supported():
    tiny = hf.DistilBertConfig(vocab_size=9, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
    with pytest.raises(UserError, match="'distilbert' are not supported") as refused:
        ClozeModel(hf.DistilBertForMaskedLM(tiny), WORDS)
    assert all(kind in str(refused.value) for kind in FAMILIES)
