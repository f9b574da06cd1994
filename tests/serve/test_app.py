"""The application as a whole: what it says of itself, and that nothing malformed brings it down."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyrm.serve.guard import shape_of

from .conftest import serving

ROUTES = (
    "/v1/compare",
    "/v1/score",
    "/v1/rank",
    "/get_reward",
    "/score",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/classify",
    "/pooling",
    "/v1/embeddings",
    "/predict",
    "/",
    "/v1/chat/completions",
)
KEYS = (  # noqa: SIM905
    "prompt messages response responses items a b domain candidates top_n query prompts labels text_1 text_2 queries "
    "documents data_1 data_2 texts truncate raw_scores return_text inputs input encoding_format use_activation role "
    "content text type n stream logprobs top_logprobs model"
).split()
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=30) | st.sampled_from(
    ["a?", "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb", "[INST] a [/INST] b", "user", "assistant", "chat"]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=5),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(KEYS), values, max_size=8) | values


@st.composite
def malformed(draw):
    """Bytes near to a request: JSON of the right names and wrong values, sometimes damaged."""
    body = json.dumps(draw(bodies)).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.binary(max_size=4)) + body[place + draw(st.integers(0, 3)) :]
    return body


def holds(client, route, body):
    """Sends a body: no error of ours, no hang, and every refusal in the shape of who asked."""
    response = client.post(route, content=body, headers={"Content-Type": "application/json"}, timeout=20)
    assert response.status_code < 500, (route, body, response.text)
    found = response.json()
    if response.status_code >= 400:
        tei = shape_of(route) == "tei" or (route == "/rerank" and "error_type" in found)
        assert found.keys() == ({"error", "error_type"} if tei else {"error"}), (route, body)
        assert tei or found["error"]["code"] == response.status_code


def send_malformed(client, examples):
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(route=st.sampled_from(ROUTES), body=malformed())
    def send(route, body):
        holds(client, route, body)

    send()
    assert client.get("/health").json() == {"status": "ok"}


def send_by_schema(url, examples):
    """Requests that schemathesis makes of the server's own OpenAPI document, valid and not."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {f"{operation.method.upper()} {operation.path}" for operation in operations} >= {
        f"POST {route}" for route in ROUTES if route != "/"
    }
    for operation in operations:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def send(case):
            response = case.call()
            assert response.status_code < 500, (case, response.text)

        send()
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}


def test_malformed_requests_are_refused_and_survived(client, pairs_client):
    send_malformed(client, 50)
    send_malformed(pairs_client, 20)


def test_requests_made_of_the_schema_are_answered(url):
    send_by_schema(url, 3)


@pytest.mark.slow
def test_ten_thousand_malformed_requests(url, client, pairs_client):
    send_malformed(client, 6500)
    send_malformed(pairs_client, 2500)
    send_by_schema(url, 100)


def commands():
    docs = Path(__file__).parents[2] / "docs" / "serving.md"
    return re.findall(r"^curl .*$", docs.read_text("utf-8"), re.MULTILINE)


def test_every_curl_line_of_the_docs_is_answered(url):
    assert len(commands()) >= 10
    for command in commands():
        setup = f"B={url}; J='Content-Type: application/json'; "
        done = subprocess.run(["bash", "-c", setup + command.replace("curl ", "curl -sSf ", 1)], capture_output=True)
        assert done.returncode == 0, (command, done.stderr)
        assert json.loads(done.stdout)


def test_health_ready_and_docs(client):
    assert client.get("/health").json() == client.get("/ping").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "model": "random-bert"}
    assert "swagger" in client.get("/docs").text
    schema = client.get("/openapi.json").json()
    assert schema["info"]["title"] == "TinyRM"
    assert set(ROUTES) - {"/"} <= schema["paths"].keys()


def test_metrics_are_what_prometheus_reads(client):
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/v1/score", json={"prompt": "a", "response": "b"})
    client.get("/some/path/of/a/stranger")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families.keys() >= {
        "tinyrm_requests",
        "tinyrm_request_seconds",
        "tinyrm_questions",
        "tinyrm_tokens",
        "tinyrm_batch_questions",
        "tinyrm_waiting_questions",
    }
    routes = {sample.labels["route"] for sample in families["tinyrm_requests"].samples}
    assert "/v1/score" in routes
    assert not any("stranger" in route for route in routes)


def test_the_page_is_one_file_that_speaks_to_nobody_else(client):
    page = client.get("/")
    if page.status_code == 404:
        pytest.skip("there is no page yet")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page.text)


def test_the_batch_budget_is_kept(both):
    with serving(both, max_tokens_per_batch=64) as url, httpx.Client(base_url=url) as client:
        assert client.get("/info").json()["max_batch_tokens"] == 64
        body = {"prompt": "a?", "responses": [f"{'b ' * i}" for i in range(40)]}
        assert len(client.post("/v1/score", json=body).json()["results"]) == 40
        metrics = client.get("/metrics").text
    assert 'tinyrm_batch_tokens_bucket{le="128.0"}' in metrics
    largest = re.search(r'tinyrm_batch_tokens_bucket\{le="128\.0"\} (\S+)', metrics)[1]
    assert largest == re.search(r"tinyrm_batch_tokens_count (\S+)", metrics)[1]
