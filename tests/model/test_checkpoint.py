import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import FAMILIES

from tinyrm.config import AdapterConfig
from tinyrm.errors import UserError
from tinyrm.model.adapters import AdaptedLinear, add_adapters
from tinyrm.model.base import load_base, load_cloze_model
from tinyrm.model.calibration import Calibration
from tinyrm.model.checkpoint import CARD, CONFIG, MANIFEST, METRICS, TOKENIZER, WEIGHTS, open_checkpoint, write_manifest
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.layout import Padded
from tinyrm.model.saving import save_checkpoint
from tinyrm.prompt import ClozeWriter, Question, builtin
from tinyrm.types import to_prompt

SEALED = (CONFIG, WEIGHTS, TOKENIZER)


def logits(model, writer):
    (cloze,) = writer.write([Question(to_prompt("what is two plus two?"), ("four",))])
    with torch.inference_mode():
        return model(torch.tensor([cloze.ids]), Padded(None, torch.tensor([cloze.slot])))


@pytest.fixture
def folder(checkpoint_folder, tmp_path):
    """A checkpoint of one's own, to damage."""
    return shutil.copytree(checkpoint_folder("bert"), tmp_path / "mine")


def refusal(folder):
    with pytest.raises(UserError) as refused:
        open_checkpoint(folder)
    message = str(refused.value)
    assert "\n" not in message
    assert folder.name in message
    return message


def edit_manifest(folder, **changes):
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | changes), "utf-8")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("adapter", "head"),
    [("none", "cloze"), ("lora", "cloze"), ("dora", "cloze"), ("none", "cls"), ("dora", "mean"), ("none", "match")],
)
def test_what_is_loaded_is_what_was_saved_and_the_live_model_stays(base_folder, tmp_path, family, adapter, head):
    base = load_base(str(base_folder(family)))
    writer = ClozeWriter(base.encoder, builtin("single", max_length=96))
    model = ClozeModel(base.masked_lm, writer.word_ids, frozen=1, head=head)
    add_adapters(model, AdapterConfig(adapter, rank=4))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    live, state = logits(model, writer), {name: value.clone() for name, value in model.state_dict().items()}

    facts = {"base": "random", "training": {"steps": 3}}
    calibration = {"single": Calibration(1.5, -0.25)}
    save_checkpoint(
        tmp_path / "new" / "folder", model, {"single": writer}, name="mine", calibration=calibration, metrics=facts
    )
    assert any(isinstance(part, AdaptedLinear) for part in model.modules()) == (adapter != "none")
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(logits(model, writer), live)

    checkpoint = open_checkpoint(tmp_path / "new" / "folder")
    assert checkpoint.manifest.templates == {"single": writer.template}
    assert checkpoint.manifest.calibration == calibration
    assert json.loads((checkpoint.folder / METRICS).read_text("utf-8")) == facts
    assert {path.name for path in checkpoint.folder.iterdir()} >= {*SEALED, MANIFEST, METRICS, CARD}
    loaded = load_cloze_model(checkpoint)
    assert not loaded.training
    again = logits(loaded, checkpoint.writers()["single"])
    torch.testing.assert_close(again, live, atol=0 if adapter == "none" else 1e-4, rtol=0)


def test_the_weights_are_a_plain_masked_lm(checkpoint_folder):
    from transformers import AutoModelForMaskedLM

    checkpoint = open_checkpoint(checkpoint_folder("modernbert", ("single",)))
    writer = checkpoint.writers()["single"]
    (cloze,) = writer.write([Question(to_prompt("what is two plus two?"), ("four",))])
    plain = AutoModelForMaskedLM.from_pretrained(checkpoint.folder).eval()
    with torch.inference_mode():
        expected = plain(input_ids=torch.tensor([cloze.ids])).logits[:, cloze.slot, list(writer.word_ids)]
    torch.testing.assert_close(logits(load_cloze_model(checkpoint), writer), expected, atol=1e-5, rtol=0)


def test_each_template_has_its_columns_of_the_logits(checkpoint_folder):
    manifest = open_checkpoint(checkpoint_folder("bert", ("pair", "domain", "single"))).manifest
    words = manifest.all_word_ids()
    for kind, ids in manifest.word_ids.items():
        assert words[manifest.columns(kind)] == ids
    with pytest.raises(KeyError):
        manifest.columns("other")


def test_a_missing_folder_is_named(tmp_path):
    assert "no model at" in refusal(tmp_path / "nowhere")


def test_a_folder_that_is_no_checkpoint_is_told_so(tmp_path):
    assert MANIFEST in refusal(tmp_path)


@pytest.mark.parametrize("name", SEALED)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert f"lacks {name}" in refusal(folder)


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_flipped_bit_is_noticed(folder, name, place):
    content = bytearray((folder / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (folder / name).write_bytes(content)
    assert str(folder / name) in refusal(folder)


@pytest.mark.parametrize("name", SEALED)
def test_a_truncated_file_is_noticed(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    assert str(folder / name) in refusal(folder)
    (folder / name).write_bytes(b"")
    assert str(folder / name) in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"{}", b'{"format": "one"}', b'{"name": 5, "format": 1}']
)
def test_a_garbled_manifest_is_named(folder, content):
    (folder / MANIFEST).write_bytes(content)
    assert f"{MANIFEST} is damaged" in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"templates": {}},
        {"word_ids": {"single": [1, 2]}},
        {"files": {}},
        {"templates": {"single": {"kind": "single", "text": "no slot", "words": ["0", "1"], "instructions": {}}}},
        {"templates": {"single": {"kind": "other", "text": "{slot}", "words": ["0", "1"], "instructions": {}}}},
    ],
)
def test_a_manifest_whose_parts_do_not_fit_is_named(folder, changes):
    edit_manifest(folder, **changes)
    assert f"{MANIFEST} is damaged" in refusal(folder)


def test_a_newer_format_is_told_apart_from_damage(folder):
    edit_manifest(folder, format=2)
    assert "newer TinyRM (format 2)" in refusal(folder)
    (folder / MANIFEST).write_text('{"format": 3, "branches": []}', "utf-8")
    assert "newer TinyRM (format 3)" in refusal(folder)


@pytest.mark.parametrize("name", ["../x", "../x/y", "..", ".", "", "sub/x"])
def test_a_manifest_may_not_name_a_file_elsewhere(folder, name):
    for place in (folder.parent / "x", folder / "sub" / "x"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
    manifest = open_checkpoint(folder).manifest
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing, which x holds
    edit_manifest(folder, files={**manifest.files, name: empty})
    assert f"lacks {name}" in refusal(folder)


def test_an_absolute_name_is_refused_too(folder, tmp_path):
    (tmp_path / "x").write_bytes(b"")
    edit_manifest(folder, files={**open_checkpoint(folder).manifest.files, str(tmp_path / "x"): "0" * 64})
    assert "lacks" in refusal(folder)


def test_a_tokenizer_that_gives_other_ids_is_noticed(folder):
    edit_manifest(folder, word_ids={"single": [9, 8], "pair": [7, 6]})
    with pytest.raises(UserError, match="its answer words have other ids"):
        open_checkpoint(folder).writers()


@pytest.mark.parametrize(
    "weight", ["bert.encoder.layer.0.attention.self.query.weight", "cls.predictions.transform.dense.bias"]
)
def test_a_weight_that_is_not_there_is_named_rather_than_left_random(folder, weight):
    weights = load_file(folder / WEIGHTS)
    del weights[weight]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_manifest(folder, open_checkpoint_unsealed(folder), SEALED)
    with pytest.raises(UserError, match=weight):
        load_cloze_model(open_checkpoint(folder))


def open_checkpoint_unsealed(folder):
    """The manifest of a folder whose weights no longer have its hash."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    edit_manifest(folder, files={TOKENIZER: manifest["files"][TOKENIZER]})
    return open_checkpoint(folder).manifest
