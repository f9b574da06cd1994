import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import FAMILIES, random_masked_lm
from transformers import PreTrainedTokenizerFast

from tinyrm.errors import UserError
from tinyrm.model.base import load_base, quieten_head, resolve
from tinyrm.model.families import family_of

IDS = torch.tensor([[2, 9, 8, 7, 4, 12, 3]])


@pytest.fixture
def folder(base_folder, tmp_path):
    return shutil.copytree(base_folder("bert"), tmp_path / "base")


def test_minilm_is_found_and_comes_without_its_head():
    base = load_base("minilm")
    assert base.fresh_head
    assert len(family_of(base.masked_lm).layers()) == 6
    assert base.encoder.decode([base.encoder.word("good")]) == "good"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_masked_lm_has_its_head_and_no_dropout(base_folder, tmp_path, family):
    folder = shutil.copytree(base_folder(family), tmp_path / "base")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    rates = {key: 0.5 for key, value in config.items() if "dropout" in key and isinstance(value, int | float)}
    assert rates
    (folder / "config.json").write_text(json.dumps(config | rates), "utf-8")
    base = load_base(str(folder))
    assert not base.fresh_head
    expected = base.masked_lm.eval()(IDS).logits
    assert torch.equal(base.masked_lm.train()(IDS).logits, expected)


def test_any_other_name_stands_for_itself():
    assert resolve("owner/name") == "owner/name"


def test_an_unsupported_model_type_is_named(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}), "utf-8")
    with pytest.raises(UserError, match=r"base: models of type 'gpt2' .* supported: bert, .*modernbert"):
        load_base(str(folder))


@pytest.mark.parametrize("name", ["nowhere/at/all", "./nowhere"])
def test_a_model_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"cannot load the model '.*{name}'"):
        load_base(str(tmp_path / name))


def test_a_folder_without_a_tokenizer_is_told_so(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(UserError, match=r"tokenizer of '.*base'") as refused:
        load_base(str(folder))
    assert "\n" not in str(refused.value)


def test_a_model_without_a_mask_token_is_no_masked_lm(folder, tokenizer):
    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    for path in folder.glob("*token*"):
        path.unlink()
    plain.save_pretrained(folder)
    with pytest.raises(UserError, match=r"tokenizer of '.*base' has no mask token"):
        load_base(str(folder))


def test_a_missing_weight_of_the_encoder_is_named(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights of the encoder: bert\.encoder\.layer\.1\.output\.dense"):
        load_base(str(folder))


def test_weights_are_never_unpickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load the model"):
        load_base(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_quietened_head_has_logits_scaled_down(family):
    masked_lm = random_masked_lm(family, 60)
    bias = family_of(masked_lm).decoder()[1]
    loud = masked_lm(IDS).logits - bias
    quieten_head(masked_lm, 0.1)
    torch.testing.assert_close(masked_lm(IDS).logits - bias, 0.1 * loud, atol=1e-5, rtol=1e-4)


def test_a_checkpoint_of_ours_is_a_base_for_further_training(checkpoint_folder, encoder):
    base = load_base(str(checkpoint_folder("bert")))
    assert not base.fresh_head
    assert base.encoder.special == encoder.special
    assert base.encoder.encode(["is two plus two [MASK] four?"]) == encoder.encode(["is two plus two [MASK] four?"])
