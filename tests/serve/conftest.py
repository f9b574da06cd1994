"""Servers to speak to: uvicorn on a free port, in a thread of this process or in processes of their own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

import tinyrm
from tinyrm.serve import Settings


class Server:
    """A running `tinyrm serve`."""

    def __init__(self, *options):
        command = [sys.executable, "-m", "tinyrm", "serve", "--port", "0", *map(str, options)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.said(r"at (http://\S+)")

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def said(self, pattern, times=1, within=60):
        """What the pattern's group matched the n-th time it was said on standard error."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            found = re.findall(pattern, "".join(self.lines))
            if len(found) >= times:
                return found[times - 1]
            if self.process.poll() is not None:
                self._reader.join(5)
                break
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} was not said: {self.lines}")

    def stop(self, within=60):
        """Its exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(within)


@pytest.fixture(scope="session")
def process():
    """`process(*options)`: a server in a process of its own, stopped when the tests are done."""
    started = []

    def start(*options):
        started.append(Server(*options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.terminate()
    for server in started:
        server.process.wait(60)


@contextmanager
def serving(model, **settings):
    """The URL of a model served from a thread of this process."""
    import uvicorn

    from tinyrm.serve.app import create_app

    settings = Settings(port=0, **settings)
    app = create_app(model, settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="error", access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="session")
def both(exported_folder):
    """A random model that reads responses alone and in pairs."""
    return tinyrm.load(exported_folder("bert"))


@pytest.fixture(scope="session")
def pairs_only(tmp_path_factory, checkpoint_folder):
    """A random model that only compares."""
    from tinyrm.export.onnx import export_onnx

    folder = tmp_path_factory.mktemp("pairs")
    export_onnx(checkpoint_folder("bert", ("pair",)), folder, weights="float32")
    return tinyrm.load(folder)


@pytest.fixture(scope="session")
def url(both):
    with serving(both) as url:
        yield url


@pytest.fixture(scope="session")
def pairs_url(pairs_only):
    with serving(pairs_only) as url:
        yield url


@pytest.fixture(scope="session")
def client(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def pairs_client(pairs_url):
    with httpx.Client(base_url=pairs_url, timeout=60) as client:
        yield client
