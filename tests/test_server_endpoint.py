"""Which endpoint, which model, and who may ask it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from openai_server import Act, EndpointServer
from server_tools import KEY, Waits, free_port, read_one, reading, request

from ocrpress.engines.base import EngineOptions
from ocrpress.engines.server import ServerEngine
from ocrpress.engines.server.address import parse_address
from ocrpress.engines.server.patience import Patience
from ocrpress.errors import EngineError, UsageError

pytest_plugins = ["server_fixtures"]


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("http://localhost:8000", "http://localhost:8000/v1"),
        (" localhost:8000 ", "http://localhost:8000/v1"),
        ("gpu7:8000/", "http://gpu7:8000/v1"),
        ("10.0.0.7:8000", "http://10.0.0.7:8000/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
        ("api.example.org", "https://api.example.org/v1"),
        ("https://api.example.org/openai/v1/chat/completions", "https://api.example.org/openai/v1"),
        ("http://localhost:11434/v1/models", "http://localhost:11434/v1"),
        ("https://example.org/api/v3", "https://example.org/api/v3"),
    ],
)
def test_an_address_is_understood_as_people_type_it(given, base):
    assert parse_address(given).base == base
    assert parse_address(given).url("/models") == base + "/models"


def test_what_is_secret_in_an_address_is_used_and_never_shown():
    address = parse_address("https://me:pass@example.org/v1?token=t")
    assert address.url("/models") == "https://me:pass@example.org/v1/models?token=t"
    assert address.shown == "https://example.org/v1"
    assert "pass" not in repr(address)
    assert "token" not in repr(address)


@pytest.mark.parametrize(
    "given",
    [None, "", "  ", "ftp://x/v1", "http://", "http://host:port/v1", "http://a b/v1", "http://host:99999", "[::1"],
)
def test_what_is_no_address_is_a_wrong_command(given):
    with pytest.raises(UsageError, match=r"address.*--url http://localhost:8000/v1"):
        ServerEngine(EngineOptions(url=given))


@pytest.mark.parametrize("options", [{"slots": 0}, {"timeout": 0.0}, {"timeout": -1.0}, {"timeout": float("nan")}])
def test_an_option_out_of_range_is_a_wrong_command(options):
    with pytest.raises(UsageError, match="out of range"):
        ServerEngine(EngineOptions(url="localhost", **options))


def test_an_unknown_checkpoint_is_a_wrong_command():
    with pytest.raises(UsageError, match="did you mean 'deepseek-ocr'"):
        ServerEngine(EngineOptions(url="localhost", checkpoint="deepsek-ocr"))


def test_a_given_model_is_asked_for_and_no_list(engine_for):
    with EndpointServer(models=("a", "b")) as server:
        read_one(engine_for(server, model="b"))
    assert server.asked[0].body["model"] == "b"
    assert server.listed == 0


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("a", "b"), r"serves 2 models: choose with --model: a, b$"),
        (tuple(f"m{number}" for number in range(12)), r"serves 12 models.* m9 and 2 more$"),
        ((), r"serves no model"),
        (Act(status=404, body=b""), r"/v1/models does not answer: status 404.*--url"),
        (Act(body=b"<html>hello</html>"), r"no JSON object: '<html>hello</html>': name the model with --model"),
        (Act(body={"models": []}), r"without data"),
        (Act(status=301, headers={"Location": "https://elsewhere/v1/models"}, body=b""), r"moved to https://elsewhere"),
        (Act(status=400, body={"detail": "not so"}), r"status 400: not so"),
    ],
)
def test_a_model_that_cannot_be_found_out_ends_the_run(engine_for, models, message):
    with EndpointServer(models=models) as server, pytest.raises(EngineError, match=message):
        read_one(engine_for(server))
    assert server.asked == []


@pytest.mark.parametrize("status", [404, 400])
def test_a_model_that_is_not_served_ends_the_run_and_the_served_ones_are_named(engine_for, status):
    refusal = Act(status=status, body={"error": {"message": "The model `c` does not exist.", "code": status}})
    with (
        EndpointServer(lambda asked: refusal, models=("a", "b")) as server,
        pytest.raises(EngineError, match=r"not serve the model 'c' .*The model `c` does not exist.*choose .* a, b"),
    ):
        read_one(engine_for(server, model="c"))


def test_a_wrong_path_ends_the_run(engine_for):
    with EndpointServer() as server, pytest.raises(EngineError, match=r"/api/chat/completions does not answer.*--url"):
        read_one(engine_for(server.root + "/api", model="ocr"))


@pytest.mark.parametrize("status", [401, 402, 403])
def test_without_the_right_key_nothing_runs_and_the_key_stays_secret(engine_for, status):
    refusal = Act(status=status, body={"error": {"message": f"Incorrect API key provided: {KEY}."}})
    with EndpointServer(lambda asked: refusal) as server:
        engine = engine_for(server, api_key=f" {KEY}\n")
        with pytest.raises(EngineError, match=r"not let us in.*\*\*\*.*another key") as caught:
            read_one(engine)
        with pytest.raises(EngineError, match="give its key"):
            read_one(engine_for(server))
    texts = [str(caught.value), repr(caught.value), repr(engine), repr(EngineOptions(api_key=KEY))]
    assert not any(KEY in text for text in texts)
    assert len(server.asked) == 2


def test_a_key_that_no_header_can_carry_is_a_wrong_command():
    with pytest.raises(UsageError) as caught:
        ServerEngine(EngineOptions(url="localhost", api_key="sk-sécret"))
    assert "cret" not in str(caught.value).replace("secret", "")


def test_nothing_listens(engine_for):
    waits = Waits()
    engine = engine_for(f"http://127.0.0.1:{free_port()}/v1", Patience(chance=lambda: 1.0), waits, model="ocr")
    with pytest.raises(EngineError, match=r"cannot reach http://127.* refused; 3 tries.*whether .* is running"):
        read_one(engine)
    assert waits.seconds == [1.0, 2.0]


def test_a_proxy_of_the_system_is_used(engine_for, monkeypatch):
    with EndpointServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.root)
        monkeypatch.setenv("no_proxy", "")
        done = read_one(engine_for("http://ocr.example/v1"))
    assert done.text == reading(request())
    assert proxy.asked[0].path == "http://ocr.example/v1/chat/completions"


def test_a_proxy_that_makes_no_sense_ends_the_run(engine_for, monkeypatch):
    monkeypatch.setenv("http_proxy", "gopher://nowhere")
    with EndpointServer() as server, pytest.raises(EngineError, match=r"proxy settings .*HTTP_PROXY"):
        read_one(engine_for(server))


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate with openssl")
def test_a_certificate_is_verified(engine_for, monkeypatch, tmp_path):
    pem, certificate = tmp_path / "here.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=here -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", pem, "-out", certificate], check=True, capture_output=True)
    pem.write_text(pem.read_text() + certificate.read_text())
    with EndpointServer(tls=pem) as server:
        with pytest.raises(EngineError, match=r"cannot reach https://127.*certificate verify failed"):
            read_one(engine_for(server))
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert read_one(engine_for(server)).stop == "end"
