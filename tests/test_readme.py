"""What README and docs say is what happens: commands parse, examples run, the first output is the true one."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import tinyrm
from tinyrm.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
every_page = pytest.mark.parametrize("page", PAGES)


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page].read_text("utf-8"), flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(block for page in PAGES for block in blocks("bash", page)).replace("\\\n", " ").splitlines()
    return sorted({line.split(" #")[0].strip() for line in lines if line.startswith("tinyrm ")})


def test_first_screen_shows_the_true_output():
    (console,) = blocks("console")
    command, output = re.fullmatch(r"\$ (tinyrm .*?[^\\])\n(.*)", console, flags=re.DOTALL).groups()
    arguments = shlex.split(command.replace("\\\n", " "))[1:]
    ran = subprocess.run([sys.executable, "-m", "tinyrm", *arguments], capture_output=True, text=True, check=True)
    assert [line.rstrip() for line in ran.stdout.splitlines()] == output.splitlines()


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one_that_exists(command, tmp_path, monkeypatch):
    """Parsed as click parses it, options and all; what it does is tested with its own room."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidates.txt").touch()
    name, *arguments = shlex.split(command)[1:]
    assert name in COMMANDS
    found = app.get_command(click.Context(app), name)
    context = found.make_context(name, [a for a in arguments if a != "-"], resilient_parsing=False)
    assert context.params


@every_page
def test_what_a_page_names_is_there(page):
    text = PAGES[page].read_text("utf-8")
    for recipe in re.findall(r"recipes/[\w.-]+\.toml", text):
        assert (ROOT / recipe).is_file(), recipe
    for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
        assert (PAGES[page].parent / link).exists(), link
    for script in re.findall(r"benchmarks/[\w.-]+\.py", text):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", ["README.md", "python.md", "migration.md"])
def test_python_examples_run(page):
    """Those that need neither a server nor a trainer, one after another."""
    examples = [block for block in blocks("python", page) if "trl" not in block and "http://" not in block]
    assert examples
    names = {}
    for example in examples:
        exec(compile(example, page, "exec"), names)


def test_the_example_of_the_package_is_true():
    assert doctest.testmod(tinyrm) == (0, 3)


def test_make_targets_named_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"make (\w[\w-]*)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
