import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import FAMILIES, random_masked_lm
from torch import nn

from tinyrm.config import AdapterConfig
from tinyrm.model.adapters import AdaptedLinear, add_adapters, merge_adapters, merged_state, unmerge_adapters
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.layout import Padded

KINDS = ("lora", "dora")
IDS = torch.randint(1, 60, (4, 20), generator=torch.Generator().manual_seed(3))
LAYOUT = Padded(None, torch.tensor([0, 5, 19, 7]))


def logits(model):
    with torch.inference_mode():
        return model(IDS, LAYOUT)


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
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert (unmerged - fresh).abs().max() > 0.1

    plain = random_masked_lm(family, 60, 3)
    state = merged_state(model)
    assert set(state) == names
    plain.load_state_dict(state)
    torch.testing.assert_close(logits(ClozeModel(plain, (11, 7))), unmerged, atol=1e-4, rtol=0)
    assert torch.equal(plain.get_input_embeddings().weight, embeddings)

    merge_adapters(model)
    merge_adapters(model)  # once is enough
    torch.testing.assert_close(logits(model), unmerged, atol=1e-4, rtol=0)
    unmerge_adapters(model)
    assert torch.equal(logits(model), unmerged)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


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


def textbook(part, x):
    """The paper's formula as autograd sees it, and its parameters."""
    a, b = (p.detach().clone().requires_grad_() for p in (part.a, part.b))
    learnt = [a, b]
    weight = part.base.weight.detach() + part.scale * b @ a
    if part.magnitude is not None:
        magnitude = part.magnitude.detach().clone().requires_grad_()
        learnt.append(magnitude)
        weight = magnitude[:, None] * weight / weight.norm(dim=1, keepdim=True).detach()
    bias = None if part.base.bias is None else part.base.bias.detach()
    return nn.functional.linear(x, weight, bias), learnt


@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(*[st.integers(1, 12)] * 4),
    alpha=st.sampled_from([None, 1.0, 8.0]),
    bias=st.booleans(),
    faint=st.booleans(),
    autocast=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_outcome_and_gradients_are_those_of_the_papers_formula(kind, shape, alpha, bias, faint, autocast, seed):
    torch.manual_seed(seed)
    tokens, rows, columns, rank = shape
    part = AdaptedLinear(nn.Linear(columns, rows, bias=bias), AdapterConfig(kind, rank=rank, alpha=alpha))
    stir(part)
    if faint and part.magnitude is not None:
        part.magnitude.data[0] = 0.0
    x, wanted = torch.randn(tokens, columns), torch.randn(tokens, rows)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with torch.autocast("cpu", torch.float32 if not autocast else torch.bfloat16, enabled=autocast):
        out = part(mine)
    expected, learnt = textbook(part, theirs)
    (out.float() - wanted).square().sum().backward()
    (expected - wanted).square().sum().backward()
    pairs = [(out, expected), (mine.grad, theirs.grad)]
    pairs += [(p.grad, q.grad) for p, q in zip((part.a, part.b, part.magnitude), learnt, strict=False)]
    tolerance = {"atol": 0.5, "rtol": 0.1} if autocast else {"atol": 1e-4, "rtol": 1e-3}
    for ours, exact in pairs:
        torch.testing.assert_close(ours.float(), exact, **tolerance)


def test_gradients_hold_under_finite_differences():
    part = adapted("lora").double()
    stir(part)
    x = torch.randn(5, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *_: part(x), (x, part.a, part.b))


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_optimiser_changes_is_seen_by_the_next_forward(kind):
    part = adapted(kind)
    x = torch.randn(3, 10)
    optimiser = torch.optim.AdamW([p for p in part.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        part(x).square().sum().backward()
        optimiser.step()
        torch.testing.assert_close(part(x), textbook(part, x)[0], atol=1e-5, rtol=1e-4)


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
    weight = part.merged_weight()
    torch.testing.assert_close(nn.functional.linear(x, weight, part.base.bias), after, atol=1e-5, rtol=0)
    assert 0 < weight[2].norm() < 0.1  # a small step leads to a small row, not to one of length 1
