"""The plan of the house: imports go one way, and the core starts without the heavy packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinyrm

SOURCE = Path(tinyrm.__file__).parent
FOUNDATION = {"", "types", "errors", "config", "console", "version"}  # "" is tinyrm itself
TO_THE_LEFT = {
    "data": set(),
    "prompt": {"data"},
    "model": {"data", "prompt"},
    "train": {"data", "prompt", "model"},
    "infer": {"data", "prompt", "model"},
    "evaluate": {"data", "prompt", "model", "train", "infer"},
    "export": {"data", "prompt", "model", "train", "infer"},
    "study": {"data", "prompt", "model", "train", "infer", "evaluate"},
    "scale": {"data", "prompt", "model", "infer"},
    "serve": {"data", "prompt", "model", "train", "infer", "evaluate"},
    "cli": {"data", "prompt", "model", "train", "infer", "evaluate", "export", "study", "scale", "serve"},
}
HEAVY = {"torch", "transformers", "pyarrow", "datasets", "accelerate", "rich"}
CORE_ROOMS = {"data", "prompt", "infer", "evaluate", "scale", "cli", *FOUNDATION}
CORE_OF_MODEL = {"model", "model.checkpoint", "model.calibration", "model.card"}
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def room(module):
    return "cli" if module == "__main__" else module.partition(".")[0]


def is_core(module):
    return module in CORE_OF_MODEL or room(module) in CORE_ROOMS


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def statements(node, at_start):
    """Every node below; `at_start` leaves out what an import of the module does not run."""
    for child in ast.iter_child_nodes(node):
        if at_start and (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(child)
        ):
            continue
        yield child
        yield from statements(child, at_start)


def imports(module, at_start=False):
    """The absolute names that a module imports, those of tinyrm with their full path."""
    path = MODULES[module]
    package = ["tinyrm", *path.relative_to(SOURCE).parent.parts]
    for node in statements(ast.parse(path.read_text("utf-8")), at_start):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # `from . import x` may import a module or a name of this one
                inner = f"{origin}.{alias.name}"
                yield inner if inner.removeprefix("tinyrm.") in MODULES else origin


def own(names):
    """Modules of tinyrm among imported names, without the package's name."""
    return {name.removeprefix("tinyrm").lstrip(".") for name in names if name.split(".")[0] == "tinyrm"}


def test_every_module_stands_in_a_known_room():
    assert {room(module) for module in MODULES} == FOUNDATION | set(TO_THE_LEFT)
    assert all(own(imports(module)) <= set(MODULES) for module in MODULES)
    assert own(imports("infer.loading")) > {"errors", "model.checkpoint", "infer.engine", "infer.torch_backend"}


@pytest.mark.parametrize("name", TO_THE_LEFT)
def test_a_room_imports_only_rooms_to_its_left(name):
    allowed = {name} | TO_THE_LEFT[name] | FOUNDATION
    for module in MODULES:
        if room(module) == name:
            beyond = {other for other in own(imports(module)) if room(other) not in allowed}
            assert not beyond, f"tinyrm.{module} imports {beyond}, to the right of {name}"


def test_the_foundation_imports_no_room():
    for module in FOUNDATION - {""}:
        assert {room(other) for other in own(imports(module))} <= FOUNDATION, module
    assert own(imports("", at_start=True)) <= FOUNDATION


@pytest.mark.parametrize("module", [module for module in MODULES if is_core(module)])
def test_the_core_starts_without_heavy_packages(module):
    at_start = set(imports(module, at_start=True))
    assert not {name.split(".")[0] for name in at_start} & HEAVY
    assert all(is_core(other) for other in own(at_start)), "a module beyond the core may import torch"


def loaded_by(code):
    """The packages that are loaded after some code, in an interpreter of its own."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_tinyrm_loads_almost_nothing():
    loaded = loaded_by("import tinyrm")
    assert "tinyrm" in loaded
    assert not loaded & (HEAVY | {"onnxruntime", "numpy", "tokenizers", "click"})


def test_the_public_names_are_there_and_need_no_torch():
    assert not loaded_by("import tinyrm\nfor name in tinyrm.__all__: getattr(tinyrm, name)") & HEAVY
    assert set(tinyrm.__all__) <= set(dir(tinyrm))
    with pytest.raises(AttributeError, match="nonsense"):
        tinyrm.nonsense  # noqa: B018


def test_the_command_line_starts_without_heavy_packages():
    assert not loaded_by("import tinyrm.cli") & (HEAVY | {"onnxruntime", "numpy"})
