from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", 0], "--workers must be above 0"),
        (["--queue", 10], "--max-items 256 is above --queue 10"),
        (["--deadline", -1], "--deadline must be above 0"),
        (["--max-wait-ms", -1], "--max-wait-ms must not be below 0"),
        (["--token", "  "], "the token is blank"),
        (["--port", 70000], "70000"),
        (["--model", "./nowhere", "--port", 0], "no model at"),
        (["--host", "no.such.host.invalid"], "cannot listen at no.such.host.invalid:8000"),
    ],
)
def test_mistakes_are_told_before_anything_is_served(mistake, arguments, said):
    assert said in mistake("serve", *arguments)


def test_a_blank_token_in_the_environment_is_no_open_door(mistake, monkeypatch):
    monkeypatch.setenv("TINYRM_TOKEN", " ")
    assert "the token is blank" in mistake("serve", "--port", 0)


def test_a_port_that_is_taken_is_told(mistake):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen at 127.0.0.1" in mistake("serve", "--port", taken.getsockname()[1])


def test_a_missing_extra_is_named(mistake, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fastapi", None)
    assert "pip install 'tinyrm[serve]'" in mistake("serve", "--port", 0)


def test_every_setting_has_its_option(cli):
    from dataclasses import fields

    from tinyrm.serve import Settings

    done = cli("serve", "--help")
    assert done.code == 0
    for field in fields(Settings):
        assert (
            f"--{field.name.removesuffix('s') if field.name == 'cors_origins' else field.name}".replace("_", "-")
            in done.out
        )
