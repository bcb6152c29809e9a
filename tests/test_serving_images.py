"""serving/: the Dockerfiles, every command that the folder names, and start commands that really start a service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request

import pytest
import yaml
from conftest import ROOT, environment
from deploy_tools import code_of, commands_in, ignored, instructions, lint, stages

from ocrpress.cli.main import COMMANDS, build_parser, load

SERVING = ROOT / "serving"
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
IGNORE = (ROOT / ".dockerignore").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
README = (SERVING / "README.md").read_text(encoding="utf-8")
SERVICES = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]
OURS = ("ocrpress", "ocrpress-vllm")


def lint_of(name, text=None):
    return lint((SERVING / name).read_text() if text is None else text, ROOT, IGNORE, EXTRAS)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_is_wrong_with_a_dockerfile(name):
    assert lint_of(name) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ARG PYTHON=3.12-slim-bookworm", "ARG PYTHON=latest", "no fixed tag"),
        ("ARG PYTHON=3.12-slim-bookworm", "ARG PYTHON=slim", "no fixed tag"),
        ("USER 10001:10001", "USER 0", "the user is 0"),
        ("USER 10001:10001\n", "", "the user is root"),
        ("USER 10001:10001", "USER ocrpress", "the user is ocrpress"),
        ('CMD ["ocrpress", ', "CMD ocrpress ", "not in exec form"),
        ('["tini", "--"]', "tini", "not in exec form"),
        ("COPY models models", "COPY weights weights", "weights does not exist"),
        ("COPY models models", "COPY tests tests", "kept out by .dockerignore"),
        ("--from=build", "--from=builder", "no stage builder"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "drains on SIGTERM"),
        ("EXPOSE 8000", "EXPOSE 8080", "8080 is exposed, 8000 is served"),
        ("VOLUME /data", "VOLUME /var", "no volume"),
        ("ARG EXTRAS=serve", "ARG EXTRAS=server", "no extra server"),
        (" --no-install-recommends", "", "without --no-install-recommends"),
        (" && rm -rf /var/lib/apt/lists/*", " && true", "without rm -rf"),
        ("ENV PYTHONUNBUFFERED=1", "ENV OCRPRESS_API_KEY=abc", "a secret"),
        ("WORKDIR /source", "ADD . /source", "ADD is no instruction"),
        ("127.0.0.1:8000/healthz", "127.0.0.1:8001/healthz", "another port"),
    ],
)
def test_the_lint_finds_what_is_wrong(before, after, said):
    text = (SERVING / "Dockerfile").read_text()
    assert before in text
    assert any(said in line for line in lint_of("Dockerfile", text.replace(before, after)))


def test_the_build_gets_the_package_and_nothing_else():
    kept_out = ("tests/conftest.py", "benchmarks/LOG.md", "serving/secrets/tokens", ".git/config", ".ci/run",
                "ocrpress/__pycache__/errors.cpython-312.pyc", "models/.secret")  # fmt: skip
    assert [path for path in kept_out if not ignored(path, IGNORE)] == []
    package = [path.relative_to(ROOT).as_posix() for path in (ROOT / "ocrpress").rglob("*.*") if path.is_file()]
    needed = ["pyproject.toml", "README.md", "LICENSE", "models/deepseek-ocr/model.toml"]
    needed += [path for path in package if "__pycache__" not in path]
    assert [path for path in needed if ignored(path, IGNORE)] == []


def test_the_build_takes_all_that_the_wheel_is_made_of():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    files = [PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"]
    files += [path.removeprefix("/") for path in wheel["include"]]
    assert set(wheel["sources"]) < set(files)
    for name in DOCKERFILES:
        copied = {
            word for one in instructions((SERVING / name).read_text()) if one.name == "COPY" for word in one.words
        }
        assert set(files) <= copied


def every_command():
    """Every command of ocrpress in the folder, and where it stands."""
    found = [(name, start_command(name)[1:]) for name in DOCKERFILES]
    found += [("compose.yaml", SERVICES[name]["command"][1:]) for name in OURS]
    for name in (*DOCKERFILES, "ray-cluster.yaml"):  # their heads say how they are used
        text = (SERVING / name).read_text().replace("\\\n#", " ")
        lines = [line.removeprefix("#") for line in text.splitlines() if line.startswith("#     ")]
        found += [(name, command) for line in lines for command in commands_in(line)]
    return found + [("README.md", command) for line in code_of(README) for command in commands_in(line)]


def start_command(name):
    """What an image starts."""
    return next(one.exec_form() for one in stages(instructions((SERVING / name).read_text()))[-1] if one.name == "CMD")


@pytest.mark.parametrize(("place", "command"), every_command())
def test_every_command_is_one_that_there_is(place, command):
    assert command[0] in COMMANDS, f"{place}: there is no 'ocrpress {command[0]}'"
    parser, _ = build_parser(command[0], load(command[0]))
    if command[1:] == ["--help"]:
        return
    _, rest = parser.parse_known_args(command)
    assert rest == [], place


def test_commands_are_found_wherever_they_stand():
    places = [place for place, _ in every_command()]
    counts = {place: places.count(place) for place in places if place != "README.md"}
    assert counts == {"Dockerfile": 1, "Dockerfile.gpu": 2, "compose.yaml": 2, "ray-cluster.yaml": 2}
    assert places.count("README.md") >= 7
    line = "docker compose exec ocrpress ocrpress doctor && ocrpress serve --port 1 | x"
    assert commands_in(line) == [["doctor"], ["serve", "--port", "1"]]


@pytest.mark.parametrize(
    "name", ["Dockerfile", "Dockerfile.gpu", "ocrpress"], ids=["the CPU's image", "the GPU's image", "compose"]
)
def test_a_start_command_really_starts_a_service_that_is_healthy_and_drains(name, tmp_path):
    """With a free port, a folder of its own, and the engine `fake` where there is no GPU; else as it stands."""
    command = SERVICES[name]["command"] if name in SERVICES else start_command(name)
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = str(place.getsockname()[1])
    tokens = tmp_path / "tokens"
    tokens.write_text("prometheus a-token-of-prometheus-0\nteam-a a-token-of-team-a-0000000\n")
    instead = {"--host": "127.0.0.1", "--port": port, "--folder": str(tmp_path / "data"), "--token-file": str(tokens)}
    if name != "Dockerfile":
        instead["--engine"] = "fake"
    with subprocess.Popen(
        [sys.executable, "-m", *with_options(command, instead)], env=environment(), cwd=tmp_path, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_until_ready(port, process)
            assert health_of(name, port) == 0
            text = answer(port, "/metrics", "a-token-of-prometheus-0")
            assert b"ocrpress_engine_up 1.0" in text
            if name in SERVICES:
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    answer(port, "/metrics")
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    assert health_of(name, port) != 0


def with_options(command, instead):
    """The command with other values of options that it has."""
    words = list(command)
    for name, value in instead.items():
        for place, word in enumerate(words):
            if word == name:
                words[place + 1] = value
            elif word.startswith(f"{name}="):
                words[place] = f"{name}={value}"
    return words


def health_of(name, port):
    """What the image's, or the service's, own health check says, at that port: its exit code."""
    if name in SERVICES:
        command = SERVICES[name]["healthcheck"]["test"][1:]
    else:
        found = stages(instructions((SERVING / name).read_text()))[-1]
        command = next(one.exec_form() for one in found if one.name == "HEALTHCHECK")
    words = [sys.executable if word == "python" else word.replace(":8000/", f":{port}/") for word in command]
    return subprocess.run(words, stderr=subprocess.DEVNULL, env=without_proxy(), check=False, timeout=60).returncode


def without_proxy():
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def wait_until_ready(port, process):
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            answer(port, "/readyz")
        except OSError:
            time.sleep(0.1)
        else:
            return
    process.kill()
    pytest.fail(f"it does not start: {process.communicate()[1].decode()}")


def answer(port, path, token=""):
    """Of this machine, whatever proxy the environment names."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as found:
        return found.read()
