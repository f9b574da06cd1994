"""Peers from the Hub: fetched without anything that could run, and known by what decides a score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from shutil import copytree

import pytest
from tests.infer.test_loading import Hub

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.evaluate.judges.hub import digest, fetch, is_classifier, read_config
from tinyrm.types import to_prompt

ASK = """
import json
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import to_prompt
judge = load_judge("org/name")
(verdict,) = judge.compare_many([(to_prompt("what is a?"), "yes", "no")])
print(json.dumps({"logit": verdict.logit, "about": judge.about}))
"""


def test_a_classifier_of_the_hub_is_recognised_and_fetched_safely(classifier_folder, tmp_path):
    source = classifier_folder("bert", 1, True)
    folder = copytree(source, tmp_path / "hub")
    for name in ("modeling_own.py", "pytorch_model.bin", "training_args.pkl"):
        (folder / name).write_text("raise SystemExit('this ran')", "utf-8")
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=folder, asked=asked))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings = {
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "NO_PROXY": "127.0.0.1",
    }
    try:
        ran = subprocess.run(
            [sys.executable, "-c", ASK], env=os.environ | settings, capture_output=True, text=True, check=True
        )
    finally:
        server.shutdown()
        server.server_close()
    found = json.loads(ran.stdout)
    judge = load_judge(source)
    (verdict,) = judge.compare_many([(to_prompt("what is a?"), "yes", "no")])
    assert found["logit"] == pytest.approx(verdict.logit, abs=1e-6)
    assert found["about"]["sha256"] == judge.about["sha256"]
    assert found["about"]["name"] == "org/name"
    assert not [name for name in asked if name.endswith((".py", ".bin", ".pkl"))]


@pytest.mark.parametrize("name", ["nobody/nothing", "./nothing", "no/such/folder", "~/nothing", "nothing nowhere"])
def test_names_of_nothing(name):
    with pytest.raises(UserError, match=r"no folder") as error:
        fetch(name)
    assert "\n" not in str(error.value)


def test_configs(tmp_path):
    for text in ("", "[]", "{", '{"architectures": 3}'):
        (tmp_path / "config.json").write_text(text, "utf-8")
        assert not is_classifier(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}', "utf-8")
    assert is_classifier(tmp_path)
    (tmp_path / "config.json").write_text("[]", "utf-8")
    with pytest.raises(UserError, match="no JSON object"):
        read_config(tmp_path)


def test_the_digest_tells_names_from_contents(tmp_path):
    for name, files in {
        "x": {"a.json": "1", "b.json": "2"},
        "y": {"a.json": "1b.json2"},
        "z": {"a.json": "12"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text, "utf-8")
    assert len({digest(tmp_path / name) for name in "xyz"}) == 3
