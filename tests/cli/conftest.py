"""The command line in this process, and what a mistake looks like there."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from tinyrm.cli import run


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def cli(capsys):
    """`cli(*arguments)`: exit code, standard output and standard error of a command."""

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def mistake(cli):
    """`mistake(*arguments)`: the one sentence that a command ends with when the user can mend it."""

    def call(*arguments):
        code, out, err = cli(*arguments)
        assert (code, out) == (2, ""), err
        return sentence(err)

    return call


def sentence(err: str) -> str:
    assert err.startswith("tinyrm: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n"), err
    assert "Traceback" not in err
    return err.removeprefix("tinyrm: ").strip()


@pytest.fixture(scope="session")
def checkpoint(exported_folder):
    """A tiny model with both templates, as quick to load as can be."""
    return exported_folder("bert")


@pytest.fixture
def rows_file(tmp_path):
    """`rows_file(rows, name)`: rows as JSONL; bytes and strings are written as they stand."""

    def write(rows, name="rows.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write
