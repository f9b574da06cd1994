"""A checkpoint as one ONNX file that needs neither torch nor transformers."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import UserError, require
from ..infer.engine import answer
from ..infer.onnx_backend import OnnxBackend
from ..infer.torch_backend import TorchBackend
from ..model.checkpoint import (
    CARD,
    CONFIG,
    METRICS,
    ONNX,
    TOKENIZER,
    WEIGHTS,
    Checkpoint,
    open_checkpoint,
    write_manifest,
)
from ..prompt import Cloze, ClozeWriter, Question
from ..types import to_prompt

if TYPE_CHECKING:
    from ..model.cloze_model import ClozeModel

Weights: TypeAlias = Literal["float32", "int8", "int8-arithmetic"]
OPSET = 18
SMALLEST = 8192
"""Weights with fewer numbers stay float32: they weigh nothing."""
TOLERANCE = {"float32": 1e-3, "int8": 0.5, "int8-arithmetic": 2.0}
"""Largest difference between torch's logits and those of the exported graph before an export is refused."""
PROBES = (
    ("What is 2 + 2?", "4", "5"),
    ("Name a colour.\nOnly one.", "Blue.", "I cannot help with that."),
    ("Sort a list in Python.", "```python\nsorted(xs)\n```" * 8, "word " * 600),
)


@dataclass(frozen=True)
class Exported:
    """Where the model went, the size of its ONNX file in bytes, and its largest difference from torch's logits."""

    folder: Path
    size: int
    difference: float


def export_onnx(source: Path, target: Path, *, weights: Weights = "int8") -> Exported:
    """Writes a checkpoint folder whose weights are `model.onnx`, and checks it against torch.

    weights: `int8` stores every matrix as 8-bit integers with a scale for each of its outputs and
        computes in float32; `float32` stores what was trained; `int8-arithmetic` also rounds what is
        multiplied with the matrices, which is faster and changes more decisions (`benchmarks/stored_weights.py`).

    Raises:
        UserError: an extra is missing, `source` is no torch checkpoint, `target` is taken, or the
            graph does not give torch's logits.
    """
    for module in ("torch", "transformers", "onnx", "onnxscript"):
        require(module, "train")
    from ..model.base import load_cloze_model

    checkpoint = open_checkpoint(source)
    if WEIGHTS not in checkpoint.manifest.files:
        raise UserError(f"{source} holds no {WEIGHTS}: export the checkpoint that was trained")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another folder or delete it")
    writers = checkpoint.writers()
    model = load_cloze_model(checkpoint)
    pad = next(iter(writers.values())).encoder.pad
    clozes = _probes(writers)
    expected = answer(TorchBackend(model, pad, device="cpu"), clozes)
    proto = _traced(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        graph = Path(made) / "model" / ONNX
        graph.parent.mkdir()

        def write(form: Weights) -> float:
            graph.write_bytes(proto.SerializeToString())
            if form == "int8-arithmetic":
                _compute_in_int8(graph)
            return _difference(answer(OnnxBackend(graph, pad), clozes), expected, form)

        difference = write("float32")  # whatever is asked for: rounding must not hide a wrong graph
        if weights == "int8":
            _quantise(proto)
        if weights != "float32":
            difference = write(weights)
        _sealed(graph.parent, source, target, checkpoint)
    return Exported(target, (target / ONNX).stat().st_size, difference)


def _difference(found: np.ndarray, expected: np.ndarray, form: Weights) -> float:
    """The largest one. Raises UserError where it is more than weights of this form explain."""
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE[form]:
        raise UserError(
            f"the exported graph ({form}) is off by {difference:.2g} from torch's logits (allowed {TOLERANCE[form]})"
        )
    return difference


def _sealed(made: Path, source: Path, target: Path, checkpoint: Checkpoint) -> None:
    """Adds what else belongs to the folder `made`, and puts it in the place of `target`."""
    for name in (CONFIG, TOKENIZER, METRICS, CARD):
        if (source / name).exists():
            shutil.copyfile(source / name, made / name)
    write_manifest(made, checkpoint.manifest, (ONNX, TOKENIZER))
    if target.exists():
        target.rmdir()
    made.rename(target)


def _probes(writers: Mapping[str, ClozeWriter]) -> list[Cloze]:
    clozes = []
    for kind, writer in writers.items():
        for prompt, a, b in PROBES:
            asked: dict[str, list[tuple[str, ...]]] = {"single": [(a,), (b,)], "pair": [(a, b), (b, a)], "domain": [()]}
            clozes += writer.write([Question(to_prompt(prompt), responses) for responses in asked[kind]])
    return clozes


def _traced(model: ClozeModel) -> Any:
    """The model's graph with rows and tokens left open."""
    import torch

    from ..model.families import family_of
    from .fused import FusedRows

    class Rows(torch.nn.Module):
        """The model over padded rows, whose every input is a tensor."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
            return self.model(ids, FusedRows(mask, slot))  # type: ignore[no-any-return]

    ids = torch.full((3, 20), 7)
    mask = torch.ones_like(ids)
    mask[1, 12:] = 0
    rows = torch.export.Dim("rows", min=1)
    tokens = torch.export.Dim("tokens", min=2, max=family_of(model.masked_lm).longest())
    shapes = ({0: rows, 1: tokens}, {0: rows, 1: tokens}, {0: rows})
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the exporter warns of optional packages that this needs not
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Rows(),
                (ids, mask, torch.tensor([1, 2, 3])),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["ids", "mask", "slot"],
                output_names=["logits"],
                dynamic_shapes=shapes,
            )
    finally:
        logging.disable(previous)
    assert program is not None
    proto = program.model_proto
    for part in (proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del part.metadata_props[:]  # where in the source each node came from, with this machine's paths
    return proto


def _compute_in_int8(path: Path) -> None:
    """ONNX Runtime's dynamic quantisation, in place: activations become int8 as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = ["MatMul", "Gemm", "Gather"]
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a pass over the graph that was made already
    try:
        # One bit less, since AVX2 adds pairs of products in 16 bits.
        quantize_dynamic(
            path, path, op_types_to_quantize=kinds, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    finally:
        logging.disable(previous)


def _quantise(proto: Any) -> None:
    """Stores float32 matrices as int8 with one scale per output (or per row of an embedding), in place.

    The graph turns them back into float32 once, when it is loaded; `benchmarks/stored_weights.py`
    measures what that costs.
    """
    from onnx import TensorProto, helper, numpy_helper

    readers: dict[str, set[str]] = defaultdict(set)
    for node in proto.graph.node:
        for name in node.input:
            readers[name].add(node.op_type)
    kept, restored = [], []
    for tensor in proto.graph.initializer:
        if len(tensor.dims) != 2 or tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            kept.append(tensor)
            continue
        axis = 1 if readers[tensor.name] == {"MatMul"} else 0  # MatMul reads [in, out], Gemm and Gather [out, in]
        matrix = numpy_helper.to_array(tensor)
        scale = np.abs(matrix).max(axis=1 - axis, keepdims=True) / 127
        scale[scale == 0] = 1
        rounded = np.round(matrix / scale).astype(np.int8)
        kept.append(numpy_helper.from_array(rounded, f"{tensor.name}_int8"))
        kept.append(numpy_helper.from_array(scale.ravel().astype(np.float32), f"{tensor.name}_scale"))
        inputs = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        restored.append(helper.make_node("DequantizeLinear", inputs, [tensor.name], axis=axis))
    nodes = [*restored, *proto.graph.node]
    for field, values in ((proto.graph.initializer, kept), (proto.graph.node, nodes)):
        del field[:]
        field.extend(values)
