import contextlib
import copy
import json

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.conftest import FAMILIES, random_masked_lm

from tinyrm.config import AdapterConfig
from tinyrm.errors import UserError
from tinyrm.model.adapters import adapt, adaptable, adapters, add_adapters
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.layout import Padded
from tinyrm.model.peft_format import CONFIG, PICKLE, WEIGHTS, load_adapters, save_adapters

KINDS = ("lora", "dora")
WORDS = (11, 7)
IDS = torch.randint(1, 60, (4, 20), generator=torch.Generator().manual_seed(3))
SLOTS = torch.tensor([0, 5, 19, 7])
SUFFIXES = {
    "bert": ["query", "dense"],
    "roberta": ["value", "dense"],
    "modernbert": ["Wqkv", "Wo"],
    "deberta-v2": ["query_proj", "pos_key_proj"],
}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::RuntimeWarning:peft")


def model_of(family, frozen=0, layers=2):
    return ClozeModel(random_masked_lm(family, 60, layers), WORDS, frozen)


@torch.no_grad()
def stir(model):
    """Random values in every adapter, ours or PEFT's, as if it had learnt."""
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.3))
        elif name.endswith((".a", ".b")) or "lora_" in name:
            parameter.normal_(std=0.15)


def trained(family, frozen=0, layers=2, **config):
    model = model_of(family, frozen, layers)
    add_adapters(model, AdapterConfig(**config))
    stir(model)
    return model


def logits(model):
    with torch.inference_mode():
        return model(IDS, Padded(None, SLOTS))


def logits_of_peft(model):
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits[torch.arange(len(SLOTS)), SLOTS][:, list(WORDS)]


def loaded_by_peft(family, folder):
    return peft.PeftModel.from_pretrained(random_masked_lm(family, 60), folder)


def made_by_peft(family, folder, **config):
    """An adapter as PEFT makes and saves it."""
    model = peft.get_peft_model(random_masked_lm(family, 60), peft.LoraConfig(**config))
    stir(model)
    model.save_pretrained(folder)
    return model


def changed(folder, into, **settings):
    """Copies an adapter with other settings."""
    (into / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
    (into / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | settings))


@pytest.mark.parametrize(("frozen", "rank", "alpha"), [(0, 3, None), (1, 40, 6.5)])  # 40: more than the layers' width
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_peft_loads_what_we_save(family, kind, frozen, rank, alpha, tmp_path):
    model = trained(family, frozen, kind=kind, rank=rank, alpha=alpha)
    assert (logits(model) - logits(model_of(family))).abs().max() > 0.1
    save_adapters(model, tmp_path / "ours", "some/base")
    theirs = loaded_by_peft(family, tmp_path / "ours")
    torch.testing.assert_close(logits_of_peft(theirs), logits(model), atol=1e-5, rtol=0)

    theirs.save_pretrained(tmp_path / "theirs")
    written, again = (load_file(tmp_path / name / WEIGHTS) for name in ("ours", "theirs"))
    assert written.keys() == again.keys()
    assert all(torch.equal(written[key], again[key]) for key in written)


@pytest.mark.parametrize("how", ["suffixes", "regex", "all-linear", "patterns", "rslora"])
@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_we_load_what_peft_saves(family, dora, how, tmp_path):
    first, second = SUFFIXES[family]
    config = {"r": 4, "lora_alpha": 6, "use_dora": dora, "target_modules": SUFFIXES[family]}
    if how == "regex":
        config["target_modules"] = rf".*\.1\..*({first}|{second})"
    elif how == "all-linear":
        config["target_modules"] = "all-linear"
    elif how != "suffixes":
        config |= {"rank_pattern": {rf".*\.0\..*{first}": 2, first: 5}, "alpha_pattern": {second: 9}}
        config["use_rslora"] = how == "rslora"
    theirs = made_by_peft(family, tmp_path, **config)
    model = model_of(family, frozen=how == "regex")
    load_adapters(model, tmp_path)
    torch.testing.assert_close(logits(model), logits_of_peft(theirs), atol=1e-5, rtol=0)
    learning = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    parts = adapters(model).values()
    assert learning == {id(p) for part in parts for p in (part.a, part.b, part.magnitude) if p is not None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_is_found_by_name(family, kind, base_folder, tokenizer, tmp_path):
    model = ClozeModel(random_masked_lm(family, len(tokenizer)), WORDS)
    add_adapters(model, AdapterConfig(kind, rank=4))
    stir(model)
    save_adapters(model, tmp_path, str(base_folder(family)))
    theirs = peft.AutoPeftModel.from_pretrained(tmp_path)
    torch.testing.assert_close(logits_of_peft(theirs), logits(model), atol=1e-5, rtol=0)


@given(data=st.data(), kind=st.sampled_from(KINDS), family=st.sampled_from(FAMILIES), frozen=st.integers(0, 1))
@settings(max_examples=15)
def test_any_ranks_and_alphas_come_back_bit_for_bit(tmp_path_factory, data, kind, family, frozen):
    folder = tmp_path_factory.mktemp("adapter")
    model, fresh = model_of(family, frozen), model_of(family, frozen)
    alpha = st.none() | st.integers(1, 8).map(float) | st.decimals(0.1, 8, places=2).map(float)
    config = st.builds(AdapterConfig, st.just(kind), st.sampled_from([1, 3, 7, 48]), alpha)
    paths = data.draw(st.sets(st.sampled_from(sorted(adaptable(model))), min_size=1))
    adapt(model, {path: data.draw(config) for path in sorted(paths)})
    stir(model)
    save_adapters(model, folder, "some/base")
    load_adapters(fresh, folder)
    ours, back = adapters(model), adapters(fresh)
    assert ours.keys() == back.keys() == paths
    assert all(ours[path].scale == back[path].scale for path in paths)
    state = fresh.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(logits(model), logits(fresh))
    torch.testing.assert_close(logits_of_peft(loaded_by_peft(family, folder)), logits(model), atol=1e-4, rtol=0)


def test_rows_of_zeros_in_the_base_mean_the_same_in_peft(tmp_path):
    base = random_masked_lm("bert", 60)
    dense = base.bert.encoder.layer[1].intermediate.dense
    dense.weight.data[:3] = 0
    model = ClozeModel(copy.deepcopy(base), WORDS)
    add_adapters(model, AdapterConfig("dora", rank=4))
    stir(model)
    adapters(model)["bert.encoder.layer.1.intermediate.dense"].b.data[0] = 0  # one that has not moved
    save_adapters(model, tmp_path, "some/base")
    fresh = ClozeModel(copy.deepcopy(base), WORDS)
    load_adapters(fresh, tmp_path)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    torch.testing.assert_close(logits(fresh), logits(model), atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of_peft(theirs), logits(model), atol=1e-5, rtol=0)


def test_weights_in_half_precision_are_read(tmp_path):
    model, fresh = trained("bert", kind="dora", rank=4), model_of("bert")
    save_adapters(model, tmp_path, "some/base")
    halved = {key: tensor.bfloat16() for key, tensor in load_file(tmp_path / WEIGHTS).items()}
    save_file(halved, tmp_path / WEIGHTS)
    load_adapters(fresh, tmp_path)
    for path, part in adapters(fresh).items():
        assert torch.equal(part.a, halved[f"base_model.model.{path}.lora_A.weight"].float())


def test_a_model_without_adapters_is_not_saved_and_one_with_them_takes_no_others(tmp_path):
    with pytest.raises(ValueError, match="no adapters"):
        save_adapters(model_of("bert"), tmp_path / "new", "some/base")
    assert not (tmp_path / "new").exists()
    model = trained("bert", kind="lora", rank=4)
    save_adapters(model, tmp_path, "some/base")
    with pytest.raises(ValueError, match="already"):
        load_adapters(model, tmp_path)


def test_an_older_adapter_is_replaced(tmp_path):
    for kind, alpha in (("dora", 4.0), ("lora", 9.0)):
        model, fresh = trained("bert", kind=kind, rank=4, alpha=alpha), model_of("bert")
        save_adapters(model, tmp_path, "some/base")
        load_adapters(fresh, tmp_path)
        assert torch.equal(logits(fresh), logits(model))
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, WEIGHTS}


def refused(model, folder, match):
    before = {name: (id(parameter), parameter.requires_grad) for name, parameter in model.named_parameters()}
    with pytest.raises(UserError, match=match):
        load_adapters(model, folder)
    assert before == {name: (id(parameter), parameter.requires_grad) for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tied_decoder_and_the_frozen_layers_are_no_targets(family, tmp_path):
    masked_lm = random_masked_lm(family, 60)
    decoder = next(name for name, part in masked_lm.named_modules() if part is masked_lm.get_output_embeddings())
    made_by_peft(family, tmp_path / "decoder", target_modules=[decoder])
    refused(model_of(family), tmp_path / "decoder", f"adapts {decoder}, which is the decoder, tied")
    made_by_peft(family, tmp_path / "all", target_modules="all-linear")
    refused(model_of(family, frozen=1), tmp_path / "all", r"\.0\..* not above the frozen layers \(model.frozen = 1\)")


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["word_embeddings"]},
        {"target_modules": ["query"], "bias": "all"},
        {"target_modules": ["query"], "modules_to_save": ["LayerNorm"]},
        {"target_modules": ["query"], "trainable_token_indices": {"word_embeddings": [1, 2]}},
        {"target_modules": ["query"], "lora_bias": True},
        {"target_modules": ["query"], "init_lora_weights": "pissa"},
        {"target_modules": ["query"], "alora_invocation_tokens": [5]},
    ],
    ids=lambda config: list(config)[-1],
)
def test_what_peft_can_do_beyond_plain_adapters_is_refused(config, tmp_path):
    made_by_peft("bert", tmp_path, r=4, **config)
    refused(model_of("bert"), tmp_path, CONFIG if len(config) > 1 else "word_embeddings.lora_embedding_A")


def test_an_adapter_of_another_method_is_refused(tmp_path):
    other = peft.IA3Config(target_modules=["query"], feedforward_modules=[])
    peft.get_peft_model(random_masked_lm("bert", 60), other).save_pretrained(tmp_path)
    refused(model_of("bert"), tmp_path, "not peft_type = 'IA3'")


def test_an_adapter_of_another_base_is_refused(tmp_path):
    made_by_peft("bert", tmp_path, target_modules=["query"])
    refused(model_of("modernbert"), tmp_path, "no linear layer of this model .modernbert.: is it of another base")


def test_pickles_and_folders_without_adapters_are_refused(tmp_path):
    refused(model_of("bert"), tmp_path / "nothing", CONFIG)
    made_by_peft("bert", tmp_path, target_modules=["query"])
    (tmp_path / WEIGHTS).unlink()
    refused(model_of("bert"), tmp_path, f"lacks {WEIGHTS}")
    (tmp_path / PICKLE).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(model_of("bert"), tmp_path, f"pickle.*{WEIGHTS}")


@pytest.fixture(scope="module", params=KINDS)
def sound(request, tmp_path_factory):
    """A sound folder of one kind, a model that fits it, and a folder for what becomes of it."""
    folder = tmp_path_factory.mktemp("sound")
    save_adapters(trained("bert", kind=request.param, rank=4), folder, "some/base")
    return folder, model_of("bert"), tmp_path_factory.mktemp("damaged")


DAMAGE = {
    "dropped": lambda tensor: None,
    "shorter": lambda tensor: tensor[1:],
    "longer": lambda tensor: torch.cat([tensor, tensor]),
    "flat": lambda tensor: tensor.reshape(1, 1, -1),
    "turned": lambda tensor: tensor.T.contiguous() if tensor.ndim == 2 else tensor[:, None],
    "whole numbers": lambda tensor: tensor.int(),
}


@given(data=st.data(), damage=st.sampled_from(sorted(DAMAGE)))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_a_tensor_that_is_missing_or_misshapen_is_named(sound, data, damage):
    folder, model, damaged = sound
    tensors = load_file(folder / WEIGHTS)
    key = data.draw(st.sampled_from(sorted(tensors)))
    tensors[key] = DAMAGE[damage](tensors[key])
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, damaged / WEIGHTS)
    (damaged / CONFIG).write_bytes((folder / CONFIG).read_bytes())
    refused(model, damaged, key.replace(".", r"\."))


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_files_cut_short_are_refused(sound, share):
    folder, model, damaged = sound
    for cut, other in ((CONFIG, WEIGHTS), (WEIGHTS, CONFIG)):
        whole = (folder / cut).read_bytes().rstrip()
        (damaged / cut).write_bytes(whole[: int(share * len(whole))])
        (damaged / other).write_bytes((folder / other).read_bytes())
        refused(model, damaged, f"{cut} is damaged")


@given(
    key=st.sampled_from([*peft.LoraConfig.__dataclass_fields__, "a_later_setting"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=4,
    ),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_whatever_a_setting_is_no_other_error_comes_of_it(sound, key, value):
    folder, model, damaged = sound
    changed(folder, damaged, **{key: value})
    with contextlib.suppress(UserError):
        load_adapters(copy.deepcopy(model), damaged)


@pytest.mark.parametrize(
    "setting",
    [
        {"lora_alpha": 7.5},
        {"use_rslora": True},
        {"alpha_pattern": {"query": 3, "layer.1.attention.self.(query|key)": 5}},
        {"alpha_pattern": {"ery": 100, "query": 3, "layer.1.attention.self.(query|key)": 5}},
        {"fan_in_fan_out": True},
        {"lora_dropout": 0.5},
        {"init_lora_weights": False},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "eva"},
    ],
    ids=str,
)
def test_settings_mean_what_they_mean_in_peft(setting, sound):
    folder, model, damaged = sound
    changed(folder, damaged, **setting)
    model = copy.deepcopy(model)
    load_adapters(model, damaged)
    torch.testing.assert_close(logits(model), logits_of_peft(loaded_by_peft("bert", damaged)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"r": 0}, r"damaged: .*\$\.r`"),
        ({"r": 10**5}, "lora_A.weight is F32"),
        ({"rank_pattern": {"(": 4}}, "no pattern"),
        ({"rank_pattern": {"query": 5}}, "query.lora_A.weight is F32"),
        ({"use_dora": "maybe"}, "use_dora"),
        ({"a_later_setting": {"on": True}}, "a_later_setting"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_named(setting, match, sound):
    folder, model, damaged = sound
    changed(folder, damaged, **setting)
    refused(model, damaged, match)


def test_magnitudes_are_there_for_dora_and_only_for_it(sound):
    folder, model, damaged = sound
    dora = json.loads((folder / CONFIG).read_text())["use_dora"]
    changed(folder, damaged, use_dora=not dora)
    refused(model, damaged, f"{'holds' if dora else 'lacks'} .*lora_magnitude_vector")
