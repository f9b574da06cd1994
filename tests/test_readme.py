"""What the README says is what happens: its commands run, its first output is the true one."""

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


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("tinyrm ")]


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


def test_recipes_named_in_the_readme_exist():
    for recipe in re.findall(r"recipes/[\w.-]+\.toml", README):
        assert (ROOT / recipe).is_file()


def test_links_lead_to_files():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_python_example_runs():
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})


def test_the_example_of_the_package_is_true():
    assert doctest.testmod(tinyrm) == (0, 3)


def test_make_targets_named_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"make (\w[\w-]*)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
