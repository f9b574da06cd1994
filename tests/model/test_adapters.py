import copy

import pytest
import torch
from tests.conftest import FAMILIES, random_masked_lm
from torch import nn

from tinyrm.config import AdapterConfig
from tinyrm.model.adapters import AdaptedLinear, add_adapters, merge_adapters
from tinyrm.model.cloze_model import ClozeModel

KINDS = ("lora", "dora")
IDS = torch.randint(1, 60, (4, 20), generator=torch.Generator().manual_seed(3))
SLOT = torch.tensor([0, 5, 19, 7])


def logits(model):
    with torch.inference_mode():
        return model(IDS, None, SLOT)


def model_of(family, frozen=1):
    return ClozeModel(random_masked_lm(family, 60, 3), (11, 7), frozen)


def adapters(module):
    return [part for part in module.modules() if isinstance(part, AdaptedLinear)]


@torch.no_grad()
def stir(module):
    """Random values in every adapter, as if it had learnt."""
    for part in adapters(module):
        part.a.normal_(std=0.2)
        part.b.normal_(std=0.1)
        if part.magnitude is not None:
            part.magnitude.mul_(torch.empty_like(part.magnitude).uniform_(0.7, 1.3))


def adapted(kind, rows=6, columns=10, zero_row=None, alpha=None):
    base = nn.Linear(columns, rows)
    if zero_row is not None:
        base.weight.data[zero_row] = 0
    return AdaptedLinear(base, AdapterConfig(kind, rank=4, alpha=alpha))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_adapter_changes_nothing_and_a_merge_changes_nothing(family, kind):
    model = model_of(family)
    fresh, names = logits(model), set(model.masked_lm.state_dict())
    embeddings = model.masked_lm.get_input_embeddings().weight.detach().clone()
    add_adapters(model, AdapterConfig(kind, rank=4, alpha=8))
    torch.testing.assert_close(logits(model), fresh, atol=1e-5, rtol=0)

    stir(model)
    unmerged = logits(model)
    assert (unmerged - fresh).abs().max() > 0.1
    merge_adapters(model)
    torch.testing.assert_close(logits(model), unmerged, atol=1e-4, rtol=0)
    assert not adapters(model)
    assert set(model.masked_lm.state_dict()) == names
    assert torch.equal(model.masked_lm.get_input_embeddings().weight, embeddings)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frozen", [0, 2, 3])
def test_every_linear_layer_of_the_branch_is_adapted_and_nothing_else_learns(family, kind, frozen):
    model = model_of(family, frozen)
    linear = [part for part in model.branch.modules() if isinstance(part, nn.Linear)]
    decoder = model.masked_lm.get_output_embeddings()
    add_adapters(model, AdapterConfig(kind, rank=4))
    assert {id(part.base) for part in adapters(model)} == {id(part) for part in linear}
    assert not adapters(model.trunk)
    assert model.masked_lm.get_output_embeddings() is decoder
    assert isinstance(decoder, nn.Linear)
    learning = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert learning == {id(p) for part in adapters(model) for p in (part.a, part.b, part.magnitude) if p is not None}


def test_no_adapters_leave_the_model_as_it_is():
    model = model_of("bert", 0)
    add_adapters(model, AdapterConfig("none"))
    assert not adapters(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("alpha", [None, 1.0, 8.0])
def test_the_norm_by_the_low_rank_identity_is_the_norm(alpha):
    part = adapted("dora", alpha=alpha)
    assert part.scale == (1.0 if alpha is None else alpha / 4)
    for _ in range(20):
        stir(part)
        direct = (part.base.weight + part.scale * part.b @ part.a).norm(dim=1)
        torch.testing.assert_close(part.norms(), direct, atol=1e-6, rtol=1e-5)


def test_a_rank_beyond_the_layer_is_brought_down_and_keeps_the_scale():
    part = AdaptedLinear(nn.Linear(5, 3), AdapterConfig("lora", rank=16, alpha=8.0))
    assert (part.a.shape, part.b.shape, part.scale) == ((3, 5), (3, 3), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_papers_formula(kind):
    part = adapted(kind, alpha=8.0)
    stir(part)
    x, wanted = torch.randn(7, 10), torch.randn(7, 6)
    (part(x) - wanted).square().sum().backward()

    a, b = (p.detach().clone().requires_grad_() for p in (part.a, part.b))
    weight = part.base.weight.detach() + 2.0 * b @ a
    if kind == "dora":
        magnitude = part.magnitude.detach().clone().requires_grad_()
        weight = magnitude[:, None] * weight / weight.norm(dim=1, keepdim=True).detach()
    (nn.functional.linear(x, weight, part.base.bias.detach()) - wanted).square().sum().backward()
    torch.testing.assert_close(part.a.grad, a.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(part.b.grad, b.grad, atol=1e-5, rtol=1e-4)
    if kind == "dora":
        torch.testing.assert_close(part.magnitude.grad, magnitude.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_zeros_starts_as_zeros_and_can_learn(kind):
    part = adapted(kind, zero_row=2)
    x = torch.randn(7, 10)
    start = part(x)
    assert torch.equal(start[:, 2], part.base.bias[2].expand(7))
    start.square().sum().backward()
    learnt = [p for p in (part.a, part.b, part.magnitude) if p is not None]
    assert all(p.grad.isfinite().all() for p in learnt)
    torch.optim.SGD(learnt, lr=1e-3).step()
    after = part(x).detach()
    assert after.isfinite().all()
    merged = copy.deepcopy(part).merged()
    torch.testing.assert_close(merged(x), after, atol=1e-5, rtol=0)
    assert 0 < merged.weight[2].norm() < 0.1  # a small step leads to a small row, not to one of length 1
