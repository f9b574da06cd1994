from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.export import onnx as onnx_export
from tinyrm.export.onnx import TOLERANCE, export_onnx
from tinyrm.infer.onnx_backend import OnnxBackend
from tinyrm.infer.torch_backend import TorchBackend
from tinyrm.model.checkpoint import CARD, CONFIG, MANIFEST, METRICS, ONNX, TOKENIZER, WEIGHTS, open_checkpoint

FAMILIES = ("bert", "modernbert", "roberta", "deberta-v2")
WIDE = 128
"""Width of a model whose matrices are large enough to be stored as int8."""


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory, checkpoint_folder):
    """`wide_folder(family)`: a wider random model as ONNX in int8."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = tmp_path_factory.mktemp("int8")
            export_onnx(checkpoint_folder(family, width=WIDE), made[family], weights="int8")
        return made[family]

    return folder


def difference(trained, exported, vocabulary: int) -> float:
    """The largest difference of logits over rows and tokens of many sizes, padded and not."""
    torch, onnx = TorchBackend.of(open_checkpoint(trained), pad=0), OnnxBackend(exported / ONNX, pad=0)
    rng = np.random.default_rng(0)
    worst = 0.0
    for rows, tokens in ((1, 2), (1, 3), (2, 17), (5, 20), (3, 64), (1, 129), (2, 300), (1, 512)):
        for padded in (False, True):
            lengths = rng.integers(2, tokens + 1, rows) if padded else np.full(rows, tokens)
            mask = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
            ids = rng.integers(5, vocabulary, (rows, tokens)) * mask
            slot = rng.integers(0, lengths)
            found, expected = (backend.logits(ids, mask, slot) for backend in (onnx, torch))
            assert found.shape == expected.shape
            worst = max(worst, float(np.abs(found - expected).max()))
    return worst


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_gives_torchs_logits_at_any_size(family, checkpoint_folder, exported_folder, tokenizer):
    assert difference(checkpoint_folder(family), exported_folder(family), len(tokenizer)) < 1e-4


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("head", ["cls", "mean", "match"])
def test_every_head_gives_torchs_logits(family, head, checkpoint_folder, tmp_path, tokenizer):
    trained = checkpoint_folder(family, ("single",), head=head)
    export_onnx(trained, tmp_path / "out", weights="float32")
    assert difference(trained, tmp_path / "out", len(tokenizer)) < 1e-4
    responses = ["yes", "no", "", "a longer one, a b c " * 40]
    expected = [reward.logit for reward in tinyrm.load(trained).score(["what is a?"] * 4, responses)]
    assert len(set(np.round(expected, 3))) == 4
    for backend in ("onnx", "openvino"):
        exported = tinyrm.load(tmp_path / "out", backend=backend)
        found = [reward.logit for reward in exported.score(["what is a?"] * 4, responses)]
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_int8_is_near_and_much_smaller(family, checkpoint_folder, wide_folder, tokenizer):
    trained, exported = checkpoint_folder(family, width=WIDE), wide_folder(family)
    assert 0 < difference(trained, exported, len(tokenizer)) < TOLERANCE["int8"]
    assert (exported / ONNX).stat().st_size < 0.4 * (trained / WEIGHTS).stat().st_size


def test_int8_arithmetic_is_near(checkpoint_folder, tmp_path, tokenizer):
    trained = checkpoint_folder("bert", width=WIDE)
    done = export_onnx(trained, tmp_path / "out", weights="int8-arithmetic")
    assert 1e-4 < difference(trained, done.folder, len(tokenizer)) < TOLERANCE["int8-arithmetic"]
    assert done.size < 0.5 * (trained / WEIGHTS).stat().st_size
    assert tinyrm.load(done.folder).compare("a?", "yes", "no").p_a != 0.5


def test_the_report_is_true(tmp_path, checkpoint_folder):
    done = export_onnx(checkpoint_folder("bert", ("single",)), tmp_path / "new" / "folder")
    assert done.folder == tmp_path / "new" / "folder"
    assert done.size == (done.folder / ONNX).stat().st_size
    assert 0 <= done.difference < TOLERANCE["int8"]
    assert {path.name for path in done.folder.iterdir()} == {CARD, CONFIG, MANIFEST, METRICS, ONNX, TOKENIZER}
    assert list(tinyrm.load(done.folder).manifest.templates) == ["single"]


def test_nothing_in_the_file_tells_of_the_machine_that_made_it(exported_folder):
    graph = (exported_folder("bert") / ONNX).read_bytes()
    for path in (tinyrm.__file__, np.__file__, str(exported_folder("bert"))):
        assert str(Path(path).parent).encode() not in graph


def test_both_templates_and_the_calibration_are_kept(checkpoint_folder, exported_folder):
    trained, exported = tinyrm.load(checkpoint_folder("bert")), tinyrm.load(exported_folder("bert"))
    assert exported.backend.name == "onnx"
    for part in ("name", "templates", "special", "word_ids", "calibration"):
        assert getattr(exported.manifest, part) == getattr(trained.manifest, part)
    assert set(exported.manifest.files) == {ONNX, TOKENIZER}
    assert exported.score("what is a?", "yes").p == pytest.approx(trained.score("what is a?", "yes").p, abs=1e-5)
    assert exported.compare("a?", "yes", "no").p_a == pytest.approx(trained.compare("a?", "yes", "no").p_a, abs=1e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_judges_where_there_is_no_torch(family, wide_folder):
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, onnx=None)\n"
        "import tinyrm; print(tinyrm.load(sys.argv[1]).score('what is a?', 'yes').logit)"
    )
    done = subprocess.run([sys.executable, "-c", code, wide_folder(family)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(
        tinyrm.load(wide_folder(family)).score("what is a?", "yes").logit, abs=1e-6
    )


def test_a_model_that_is_there_is_not_overwritten(checkpoint_folder, exported_folder):
    before = (exported_folder("bert") / ONNX).read_bytes()
    with pytest.raises(UserError, match="is there already"):
        export_onnx(checkpoint_folder("modernbert"), exported_folder("bert"))
    with pytest.raises(UserError, match="is there already"):
        export_onnx(checkpoint_folder("bert"), checkpoint_folder("bert"))
    assert (exported_folder("bert") / ONNX).read_bytes() == before


def test_a_folder_of_other_things_is_left_alone(checkpoint_folder, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export_onnx(checkpoint_folder("bert"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    (tmp_path / "empty").mkdir()
    assert export_onnx(checkpoint_folder("bert"), tmp_path / "empty", weights="float32").folder == tmp_path / "empty"


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_wrong_graph_is_refused_whatever_its_weights(weights, checkpoint_folder, tmp_path, monkeypatch):
    """Rounding to int8 may move a logit further than this fault does."""
    traced = onnx_export._traced

    def biased(model):
        model.masked_lm.get_output_embeddings().bias.data += TOLERANCE["int8"] / 2
        return traced(model)

    monkeypatch.setattr(onnx_export, "_traced", biased)
    with pytest.raises(UserError, match=r"\(float32\) is off by"):
        export_onnx(checkpoint_folder("bert"), tmp_path / "out", weights=weights)
    assert not list(tmp_path.iterdir())


def test_an_exported_model_is_not_exported_again(exported_folder, tmp_path):
    with pytest.raises(UserError, match=WEIGHTS):
        export_onnx(exported_folder("bert"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["torch", "onnxscript"])
def test_a_missing_extra_is_named(missing, checkpoint_folder, tmp_path):
    code = (
        f"import sys; sys.modules.update({missing}=None)\n"
        "from tinyrm.cli import run; sys.exit(run(['export', sys.argv[1], '-o', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, checkpoint_folder("bert"), tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"tinyrm: this needs {missing}, which is not installed: pip install 'tinyrm[train]'\n"


def test_a_damaged_checkpoint_is_refused_before_any_work(checkpoint_folder, tmp_path):
    folder = copytree(checkpoint_folder("bert"), tmp_path / "damaged")
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="hash differs"):
        export_onnx(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
