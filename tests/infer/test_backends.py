from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrm
from tinyrm.errors import UserError
from tinyrm.infer.engine import answer
from tinyrm.infer.onnx_backend import OnnxBackend
from tinyrm.infer.openvino_backend import OpenVinoBackend
from tinyrm.infer.torch_backend import TorchBackend
from tinyrm.model.base import load_base
from tinyrm.model.checkpoint import ONNX, open_checkpoint
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.prompt import Question
from tinyrm.types import to_prompt

FAMILIES = ("bert", "modernbert")


def clozes_of(checkpoint, lengths=(0, 1, 7, 40, 90, 300)):
    responses = ["a b c yes no good " * (n // 6) + "d " * (n % 6) for n in lengths]
    prompt = to_prompt("what is two plus two?")
    writers = checkpoint.writers()
    return writers["single"].write([Question(prompt, (text,)) for text in responses]) + writers["pair"].write(
        [Question(prompt, (text, "yes")) for text in responses]
    )


@pytest.fixture(scope="module", params=FAMILIES)
def backends(request, checkpoint_folder, exported_folder):
    checkpoint = open_checkpoint(checkpoint_folder(request.param))
    onnx = OnnxBackend(exported_folder(request.param) / ONNX, pad=0)
    return checkpoint, TorchBackend.of(checkpoint, pad=0), onnx


def test_what_is_asked_for_is_what_computes(checkpoint_folder, exported_folder, caplog):
    trained, exported = checkpoint_folder("bert"), exported_folder("bert")
    with caplog.at_level("INFO", logger="tinyrm"):
        exact, rough = (tinyrm.load(trained, backend=f"torch-{dtype}") for dtype in ("float32", "bfloat16"))
        assert tinyrm.load(trained).backend.name == "torch"
        assert tinyrm.load(exported).backend.name == "onnx"
    said = [record.getMessage() for record in caplog.records if record.name == "tinyrm"]
    assert ["float32" in said[0], "bfloat16" in said[1], "ONNX Runtime" in said[3]] == [True] * 3
    one, other = (judge.score("what is a?", "yes no").logit for judge in (exact, rough))
    assert one != other
    assert one == pytest.approx(other, abs=0.2)
    with pytest.raises(UserError, match="unknown backend 'tpu'"):
        tinyrm.load(trained, backend="tpu")


def test_torch_onnx_and_openvino_agree(backends, exported_folder):
    checkpoint, torch, onnx = backends
    clozes = clozes_of(checkpoint)
    np.testing.assert_allclose(answer(onnx, clozes), answer(torch, clozes), rtol=0, atol=1e-4)
    path = exported_folder(checkpoint.manifest.name.removeprefix("random-")) / ONNX
    np.testing.assert_allclose(answer(OpenVinoBackend(path, 0), clozes), answer(onnx, clozes), rtol=0, atol=1e-4)


def test_openvino_multiplies_in_int8_only_if_asked(default_model):
    texts = [(to_prompt("What is 2 + 2?"), text) for text in ("4", "5", "I do not know. " * 40)]
    exact, rough, usual = (
        [reward.logit for reward in tinyrm.load(backend=backend).score_many(texts)]
        for backend in ("openvino", "openvino-int8", "onnx")
    )
    np.testing.assert_allclose(exact, usual, rtol=0, atol=1e-4)
    assert rough != exact
    np.testing.assert_allclose(rough, exact, rtol=0, atol=0.5)


def test_a_broken_file_is_one_sentence_of_openvino(tmp_path):
    (tmp_path / ONNX).write_bytes(b"not a model")
    with pytest.raises(UserError, match="cannot be loaded by OpenVINO"):
        OpenVinoBackend(tmp_path / ONNX, 0)


@settings(max_examples=15, deadline=None)
@given(padding=st.integers(1, 60), garbage=st.integers(0, 90), place=st.integers(0, 11))
def test_padding_changes_nothing_whatever_stands_in_it(backends, padding, garbage, place):
    checkpoint, *both = backends
    cloze = clozes_of(checkpoint)[place]
    ids = np.asarray([cloze.ids])
    slot = np.asarray([cloze.slot])
    wide = np.pad(ids, ((0, 0), (0, padding)), constant_values=garbage)
    mask = np.pad(np.ones_like(ids), ((0, 0), (0, padding)))
    for backend in both:
        alone = backend.logits(ids, np.ones_like(ids), slot)
        np.testing.assert_allclose(backend.logits(wide, mask, slot), alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_same_before_saving_and_after_loading(family, base_folder, checkpoint_folder):
    checkpoint = open_checkpoint(checkpoint_folder(family))
    model = ClozeModel(load_base(str(base_folder(family))).masked_lm, checkpoint.manifest.all_word_ids())
    clozes = clozes_of(checkpoint)
    before = answer(TorchBackend(model, pad=0), clozes)
    after = answer(tinyrm.load(checkpoint.folder).backend, clozes)
    np.testing.assert_array_equal(after, before)


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / ONNX).write_bytes(b"no graph")
    with pytest.raises(UserError, match="cannot be loaded by ONNX Runtime"):
        OnnxBackend(tmp_path / ONNX, pad=0)
