from __future__ import annotations

import json
import socket

import pytest
from tests.serve.conftest import serving

import tinyrm

PROMPT = "what is two plus two?"
SAME = {"abs": 2e-5, "rel": 0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", 0], "--workers must be above 0"),
        (["--queue", 10], "--max-items 256 is above --queue 10"),
        (["--deadline", -1], "--deadline must be above 0"),
        (["--max-wait-ms", -1], "--max-wait-ms must not be below 0"),
        (["--token", "  "], "the token is blank"),
        (["--token", "line\n"], "or holds blanks or characters that no header can"),
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


def test_compare_and_rank_ask_a_server(checkpoint_folder, cli, mistake):
    model = tinyrm.load(checkpoint_folder("bert"))
    with serving(model) as url:
        _ask(model, url, cli, mistake)


def _ask(both, url, cli, mistake):
    arguments = ("--prompt", PROMPT, "--a", "four", "--b", "five", "--server", url)
    found = json.loads(cli("compare", *arguments, "--json").out)
    assert found["model"] == "random-bert"
    assert found["logit"] == pytest.approx(both.compare(PROMPT, "four", "five").logit, **SAME)
    ranked = json.loads(cli("rank", "--prompt", PROMPT, "four", "five", "yes", "--server", url, "--json").out)
    assert [place["index"] for place in ranked["ranking"]] == [
        p.index for p in both.rank(PROMPT, ["four", "five", "yes"])
    ]
    assert "--server has a model of its own" in mistake("compare", *arguments, "--model", "x")
    assert "--full is for a model that is loaded here" in mistake(
        "rank", "--prompt", PROMPT, "four", "five", "--full", "--server", url
    )
    assert "no instruction for the domain 'poetry'" in mistake("compare", *arguments, "--domain", "poetry")
    assert "is `tinyrm serve` running there" in mistake(
        "compare", "--prompt", "a", "--a", "b", "--b", "c", "--server", "http://127.0.0.1:1"
    )
