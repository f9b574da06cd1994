from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import copyfile, copytree

import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.model.checkpoint import ONNX, TOKENIZER, WEIGHTS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASK = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import tinyrm
model = tinyrm.load(sys.argv[1])
print(model.score("what is a?", "yes").logit)
print(*{path for path in opened if path.endswith(("evil.py", ".bin", ".pkl", ".pt"))})
"""


class Boom:
    """A pickle that tells on whoever unpickles it."""

    def __reduce__(self):
        return (print, ("BOOM",))


def with_traps(folder):
    """Adds what a careless loader would run."""
    (folder / "evil.py").write_text("print('BOOM')\n", "utf-8")
    for name in ("pytorch_model.bin", "calibration.pkl", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Boom()))
    return folder


def ask(name: str, **environment: str) -> list[str]:
    """Loads a model in a process of its own: its reward, and which traps it opened."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, name], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_loads_from_the_hubs_cache_offline(tmp_path, exported_folder):
    repository = tmp_path / "models--org--name"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    for folder in (snapshot, blobs, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(sorted(exported_folder("bert").iterdir())):
        copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(blobs / str(number))
    reward, traps = ask("org/name", HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    assert float(reward) == pytest.approx(
        tinyrm.load(exported_folder("bert")).score("what is a?", "yes").logit, abs=1e-6
    )
    assert not traps


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download needs."""

    def __init__(self, *request, folder, asked):
        self.folder, self.asked = folder, asked
        super().__init__(*request)

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def log_message(self, *_):
        pass

    def _answer(self, body):
        if "/tree/" in self.path:
            files = [(path.name, path.stat().st_size) for path in self.folder.iterdir()]
            tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in files]
            content = json.dumps(tree).encode()
        elif self.path.startswith("/api/models/org/name"):
            names = [{"rfilename": path.name} for path in self.folder.iterdir()]
            content = json.dumps({"id": "org/name", "sha": COMMIT, "siblings": names}).encode()
        elif self.path.startswith("/org/name/resolve/"):
            name = self.path.rpartition("/")[2]
            self.asked.append(name)
            content = (self.folder / name).read_bytes()
        else:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{abs(hash(content)):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None


def test_fetches_from_the_hub_nothing_that_could_run(tmp_path, exported_folder):
    folder = with_traps(copytree(exported_folder("bert"), tmp_path / "hub"))
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=folder, asked=asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reward, traps = ask(
            "org/name",
            HF_HUB_CACHE=str(tmp_path / "cache"),
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
            NO_PROXY="127.0.0.1",
        )
    finally:
        server.shutdown()
        server.server_close()
    assert float(reward) == pytest.approx(
        tinyrm.load(exported_folder("bert")).score("what is a?", "yes").logit, abs=1e-6
    )
    assert not traps
    assert {ONNX, TOKENIZER} <= set(asked)
    assert not [name for name in asked if name.endswith((".py", ".bin", ".pkl", ".pt"))]


def test_traps_in_a_folder_are_never_opened(tmp_path, checkpoint_folder):
    folder = with_traps(copytree(checkpoint_folder("bert"), tmp_path / "model"))
    reward, traps = ask(str(folder))
    assert float(reward) == pytest.approx(
        tinyrm.load(checkpoint_folder("bert")).score("what is a?", "yes").logit, abs=1e-6
    )
    assert not traps


@pytest.mark.parametrize("name", ["nobody/nothing", "./nothing", "nothing", "no/such/folder", "~/nothing"])
def test_an_unknown_name_is_the_users_mistake(name):
    with pytest.raises(UserError, match=r"nothing|no/such"):
        tinyrm.load(name)


def test_a_folder_gives_the_backend_asked_for_or_says_why_not(checkpoint_folder, exported_folder):
    trained, exported = checkpoint_folder("bert"), exported_folder("bert")
    assert tinyrm.load(trained).backend.name == tinyrm.load(trained, backend="torch").backend.name == "torch"
    assert tinyrm.load(exported).backend.name == tinyrm.load(exported, backend="onnx").backend.name == "onnx"
    with pytest.raises(UserError, match=ONNX):
        tinyrm.load(trained, backend="onnx")
    with pytest.raises(UserError, match=WEIGHTS):
        tinyrm.load(exported, backend="torch")


def test_an_onnx_folder_loads_without_torch(exported_folder):
    without = "import sys; sys.modules.update(torch=None, transformers=None, safetensors=None)\n"
    done = subprocess.run(
        [sys.executable, "-c", without + ASK, str(exported_folder("bert"))], capture_output=True, text=True, check=True
    )
    assert float(done.stdout.splitlines()[0])
