"""The models that every promise of the room is held for."""

from __future__ import annotations

import pytest

import tinyrm


@pytest.fixture(scope="session", params=["bert", "modernbert", "bert-onnx", "modernbert-onnx", "default"])
def model(request, checkpoint_folder, exported_folder):
    """Random models on both backends, and the one that ships."""
    if request.param == "default":
        return request.getfixturevalue("default_model")
    family, _, onnx = request.param.partition("-")
    return tinyrm.load(exported_folder(family) if onnx else checkpoint_folder(family))


@pytest.fixture(scope="session")
def both(checkpoint_folder):
    """A model with a single and a pair template."""
    return tinyrm.load(checkpoint_folder("bert"))
