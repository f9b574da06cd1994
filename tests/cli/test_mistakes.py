from __future__ import annotations

import os
import subprocess
import sys
from shutil import copytree

import pytest

import tinyrm
from tinyrm.cli import COMMANDS
from tinyrm.model.checkpoint import MANIFEST, ONNX, TOKENIZER

COMPARE = ("compare", "--prompt", "a?", "--a", "yes", "--b", "no")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["comapre"], "no such command: 'comapre'; did you mean 'compare'?"),
        (["xyzzy"], "known: ablate, average, compare, eval, export, rank, report, score, serve, sweep, train"),
        ([*COMPARE, "--modle", "m"], "--model"),
        (["--verbose", "compare"], "--verbose"),
        (["compare", "--a", "yes", "--b", "no"], "--prompt"),
        ([*COMPARE, "--backend", "jax"], "'jax' is not one of 'auto', 'onnx', 'openvino'"),
        (["rank", "--prompt", "a?"], "nothing to rank"),
        (["rank", "--prompt", "a?", "--from", "/none/such.txt"], "/none/such.txt"),
        (["score"], "IN"),
        (["export", "somewhere"], "-o"),
        (["average", "one", "two"], "-o"),
        (["average", "one", "-o", "out"], "an average wants two runs or more"),
        (["average", "one", "two", "-o", "out"], "no model at one"),
        ([*COMPARE, "--model", "no model"], "no model at no model"),
        ([*COMPARE, "--model", "nobody/nothing"], "nobody/nothing"),
        (["export", "no model", "-o", "out"], "no model at no model"),
        (["train", "none.toml"], "no recipe at none.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_call_that_cannot_be_meant_is_one_sentence(mistake, arguments, said):
    assert said in mistake(*arguments)


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt(mistake, checkpoint, prompt):
    for call in (("compare", "--a", "yes", "--b", "no"), ("rank", "yes", "no")):
        assert "the prompt is empty" in mistake(*call, "--prompt", prompt, "--model", checkpoint)


@pytest.mark.parametrize("name", [MANIFEST, TOKENIZER, ONNX])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "empty", "folder"])
def test_a_damaged_checkpoint(mistake, checkpoint, tmp_path, name, damage):
    folder = copytree(checkpoint, tmp_path / "model")
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"cut": content[: len(content) // 2], "changed": b"x" + content[1:], "empty": b""}[damage])
    assert name in mistake(*COMPARE, "--model", folder)


def test_help_and_version(cli):
    for call in ((), ("--help",), ("-h",)):
        done = cli(*call)
        assert (done.code, done.err) == (0, "")
        assert all(name in done.out for name in COMMANDS)
    assert cli("--version").out == f"tinyrm, version {tinyrm.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli, name):
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"tinyrm {name} " in done.out


def test_a_fault_that_is_not_the_users_is_exit_code_1(checkpoint):
    code = "import sys; sys.modules['onnxruntime'] = None; from tinyrm.cli import run; sys.exit(run(sys.argv[1:]))"
    broken = [sys.executable, "-c", code, *COMPARE, "--model", checkpoint]
    done = subprocess.run(broken, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tinyrm: internal error (ModuleNotFoundError: ")
    assert done.stderr.count("\n") == 1
    told = subprocess.run(broken, capture_output=True, text=True, env={**os.environ, "TINYRM_DEBUG": "1"})
    assert "Traceback" in told.stderr


def tinyrm_process(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "tinyrm", *map(str, arguments)], capture_output=True, **options)


def test_exit_codes_and_bytes_of_a_real_process(checkpoint):
    good = tinyrm_process(*COMPARE[:-1], "שלום 🙂", "--model", checkpoint, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (good.returncode, good.stderr) == (0, b"")
    bad = tinyrm_process("comapre")
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert bad.stderr == b"tinyrm: no such command: 'comapre'; did you mean 'compare'?\n"


def test_output_is_utf8_whatever_the_locale(checkpoint, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a?", "response": "שלום 🙂"}\n', "utf-8")
    narrow = {**os.environ, "PYTHONIOENCODING": "ascii"}
    scored = tinyrm_process("score", tmp_path / "rows.jsonl", "--model", checkpoint, env=narrow)
    assert (scored.returncode, scored.stderr) == (0, b"1 row judged by random-bert\n")
    assert "שלום 🙂" in scored.stdout.decode("utf-8")
    ranked = tinyrm_process("rank", "--prompt", "a?", "שלום 🙂", "--model", checkpoint, env=narrow)
    assert (ranked.returncode, ranked.stderr) == (0, b"")
    assert "שלום 🙂" in ranked.stdout.decode("utf-8")


def test_a_torch_model_writes_nothing_but_its_verdict(checkpoint_folder):
    done = tinyrm_process(*COMPARE, "--model", checkpoint_folder("bert"), "--json", text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_help_starts_without_the_heavy_packages():
    code = (
        "import sys; from tinyrm.cli import run; run(['--help']); run(['score', '--help'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'onnxruntime', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
