"""Small classifiers with random weights, and servers on the loopback that answer what a test tells them to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from tests.conftest import random_masked_lm

from tinyrm.types import Message, to_prompt

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "[CLS] {{ m.role }} : {{ m.content }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}[CLS] assistant : {% endif %}"
)


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory, tokenizer):
    """`classifier_folder(family, labels, template)`: a sequence classifier with its tokenizer, as the Hub has it."""
    import torch
    import transformers

    made = {}

    def folder(family="bert", labels=1, template=False):
        key = (family, labels, template)
        if key in made:
            return made[key]
        made[key] = tmp_path_factory.mktemp("classifier")
        if family == "llama":
            config = transformers.LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=48,
                max_position_embeddings=128,
                num_labels=labels,
                pad_token_id=None,
            )
        else:
            config = random_masked_lm(family, len(tokenizer)).config
            config.num_labels = labels
        torch.manual_seed(3)
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.25)
        model.save_pretrained(made[key])
        tokenizer.chat_template = CHAT_TEMPLATE if template else None
        tokenizer.save_pretrained(made[key])
        tokenizer.chat_template = None
        return made[key]

    return folder


@pytest.fixture
def server():
    """`server(answer)`: `answer(path, body, headers)` gives (status, JSON) or (status, JSON, headers)."""
    running = []

    def start(answer):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                asked.append(SimpleNamespace(path=self.path, body=body, headers=dict(self.headers)))
                status, said, *more = answer(self.path, body, self.headers)
                said = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        running.append(httpd)
        return SimpleNamespace(url=f"http://127.0.0.1:{httpd.server_port}", asked=asked)

    yield start
    for httpd in running:
        httpd.shutdown()
        httpd.server_close()


NAMES = (  # noqa: SIM905
    "rewards data score probs label choices message content logprobs token logprob top_logprobs results model protocol"
).split()
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
"""What a server might answer."""


CONVERSATION = (Message("user", "two plus two?"), Message("assistant", "four"), Message("user", "no, five"))


@pytest.fixture(scope="session")
def pairs():
    """Prompts with two responses: one line, a conversation, nothing at all as a response, a system turn."""
    return [
        (to_prompt("what is the answer?"), "four", "no no no"),
        (CONVERSATION, "yes, five is the answer", "four."),
        (to_prompt("q: is it so?"), "", "yes"),
        ((Message("system", "be good"), *to_prompt("a question")), "the best response", "bad"),
    ]
