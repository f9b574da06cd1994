import pytest
import torch
from tests.conftest import FAMILIES, random_masked_lm

from tinyrm.errors import UserError
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.layout import Padded

WORDS = (11, 7)
LAYERS = 3
IDS = torch.randint(1, 60, (4, 20), generator=torch.Generator().manual_seed(3))
LAYOUT = Padded(None, torch.tensor([0, 5, 19, 7]))


def model_of(family, frozen):
    return ClozeModel(random_masked_lm(family, 60, LAYERS), WORDS, frozen)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen", range(LAYERS + 1))
def test_only_what_is_above_the_trunk_learns(family, frozen):
    model = model_of(family, frozen)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.masked_lm.named_parameters()}
    model(IDS, LAYOUT).square().sum().backward()
    optimiser.step()
    changed = {name for name, now in model.masked_lm.named_parameters() if not torch.equal(now, before[name])}

    below = {id(parameter) for parameter in model.trunk.parameters()} if frozen else set()
    above = {id(parameter) for parameter in model.branch.parameters()}
    for name, parameter in model.masked_lm.named_parameters():
        if id(parameter) in below:
            assert parameter.grad is None, name
            assert name not in changed, name
        elif id(parameter) in above:
            assert parameter.grad is not None, name
    assert changed & {name for name, parameter in model.masked_lm.named_parameters() if id(parameter) in above}


@pytest.mark.parametrize("family", FAMILIES)
def test_trunk_and_branch_share_no_layer_and_lose_none(family):
    for frozen in range(LAYERS + 1):
        model = model_of(family, frozen)
        lower = {id(parameter) for parameter in model.trunk.parameters()}
        upper = {id(parameter) for parameter in model.branch.parameters()}
        decoder_bias = {id(model.branch._family.decoder()[1])}
        assert not lower & upper
        assert {id(parameter) for parameter in model.masked_lm.parameters()} - decoder_bias == lower | upper


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen", range(LAYERS + 1))
def test_trunk_then_branch_is_the_model(family, frozen):
    model = model_of(family, frozen)
    assert model.frozen == frozen
    assert torch.equal(model.branch(model.trunk(IDS, LAYOUT), LAYOUT), model(IDS, LAYOUT))


@pytest.mark.parametrize("frozen", [-1, LAYERS + 1])
def test_a_depth_that_the_model_has_not_is_refused(frozen):
    with pytest.raises(UserError, match=f"model.frozen = {frozen}, but the model has {LAYERS} layers"):
        model_of("bert", frozen)


def test_the_logits_stand_in_the_order_of_the_words():
    model = random_masked_lm("bert", 60, LAYERS)
    one, other = (ClozeModel(model, words)(IDS, LAYOUT) for words in (WORDS, WORDS[::-1]))
    assert torch.equal(one, other.flip(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_match_head_reads_both_means_and_their_product(family):
    model = ClozeModel(random_masked_lm(family, 60, LAYERS), WORDS, head="match").eval()
    head = model.branch.classifier
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    states = model.branch.hidden(model.trunk(IDS, LAYOUT), LAYOUT)
    for row, slot, found in zip(states, LAYOUT.slots.tolist(), model(IDS, LAYOUT), strict=True):
        prompt, response = (model.branch._family.final(part.mean(dim=0)) for part in (row[: slot + 1], row[slot:]))
        product = prompt * response / prompt.square().mean().sqrt()
        expected = torch.cat([prompt, response, product]) @ head.weight.T + head.bias
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_a_match_head_of_states_that_are_all_nothing_gives_a_number():
    model = ClozeModel(random_masked_lm("bert", 60, LAYERS), WORDS, head="match")
    norm = model.branch.layers[-1].output.LayerNorm
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    logits = model(IDS, LAYOUT)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
