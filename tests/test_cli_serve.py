"""The command `ocrpress serve`: what it takes, what it refuses before the engine is opened, how it is stopped."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import stat
import subprocess
import sys
import threading

import httpx
import pytest
from conftest import environment
from service_tools import faulty_command, pdf, png, upload, wait_until

from ocrpress.__main__ import main
from ocrpress.cli import serve as command
from ocrpress.errors import UsageError
from ocrpress.server.door.token_file import is_open_to_others, read_tokens
from ocrpress.server.run import make_service
from ocrpress.server.settings import ServerSettings

TOKEN = "tok-0123456789abcdef"  # noqa: S105
OTHER = "tok-fedcba9876543210"


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    """The settings that a command line comes to, and what was said; nothing is served."""

    def run(*arguments):
        taken, said = [], []
        monkeypatch.setattr("ocrpress.server.run.serve", lambda settings, *more, **named: taken.append(settings) or 0)
        monkeypatch.setattr("ocrpress.cli.say.say", said.append)
        assert main(["serve", "--engine", "fake", *map(str, arguments)]) == 0
        run.said = said
        return taken[0]

    monkeypatch.delenv("OCRPRESS_FOLDER", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return run


@pytest.fixture
def token_file(tmp_path):
    def make(text, mode=0o600):
        path = tmp_path / "tokens"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return make


@pytest.fixture
def start(tmp_path):
    """Serve in a process of its own; gives it when it is ready, with its address."""
    started = []

    def run(*arguments, ready=True):
        line = [sys.executable, "-m", "ocrpress", "serve", "--engine", "fake", "--port", "0", "--folder", "served"]
        process = subprocess.Popen(
            [*line, *map(str, arguments)], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        process.lines = []
        reading = threading.Thread(target=lambda: [process.lines.append(line) for line in process.stderr], daemon=True)
        reading.start()
        process.reading = reading
        if ready:
            wait_until(lambda: process.poll() is not None or any("serving on" in line for line in process.lines))
            assert process.poll() is None, process.lines
            process.url = next(line for line in process.lines if "serving on" in line).split()[3]
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.reading.join(10)
        process.stderr.close()


# What it takes


def test_without_options_it_is_what_the_library_says(settings_of, tmp_path):
    found = settings_of()
    assert found.folder == tmp_path / "state" / "ocrpress" / "serve"
    same = ServerSettings(found.reading, found.folder)
    assert found == same
    assert (found.host, found.port) == ("127.0.0.1", 8000)
    assert found.reading.options.max_pages == ServerSettings.max_pages
    assert found.reading.options.workers >= 2


def test_every_option_reaches_the_service(settings_of, tmp_path, token_file):
    found = settings_of(
        "--host", "::1", "--port", 0, "--max-bytes", "1.5M", "--max-pages", 7, "--queue", 8, "--max-jobs", 9,
        "--keep-hours", 0.5, "--request-seconds", 11, "--upload-seconds", 12, "--drain-seconds", 0, "--page-limit", 13,
        "--folder", tmp_path / "f", "--origin", "https://a.example", "--origin", "http://localhost:3000",
        "--token-file", token_file(f"ann {TOKEN}\n"), "--mode", "base", "--dpi", 100, "--workers", 3, "--task",
        "markdown", "--renderer", "pdfium", "--max-tiles", 6,
    )  # fmt: skip
    assert (found.host, found.port, found.max_bytes, found.max_pages) == ("::1", 0, 3 << 19, 7)
    assert (found.queue, found.max_jobs, found.keep_hours) == (8, 9, 0.5)
    assert (found.request_seconds, found.upload_seconds, found.drain_seconds) == (11, 12, 0)
    assert (found.folder, found.origins) == (tmp_path / "f", ("https://a.example", "http://localhost:3000"))
    assert found.tokens == {TOKEN: "ann"}
    assert found.reading.limit == 13
    options = found.reading.options
    assert (options.mode, options.dpi, options.workers, options.renderer) == ("base", 100, 3, "pdfium")
    assert (options.max_tiles, options.max_pages) == (6, 7)


def test_the_folder_may_come_from_the_environment(settings_of, tmp_path, monkeypatch):
    monkeypatch.setenv("OCRPRESS_FOLDER", str(tmp_path / "from the environment"))
    assert settings_of().folder == tmp_path / "from the environment"
    assert settings_of("--folder", tmp_path / "given").folder == tmp_path / "given"
    monkeypatch.delenv("OCRPRESS_FOLDER")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings_of().folder == tmp_path / "home" / ".local" / "state" / "ocrpress" / "serve"
    monkeypatch.chdir(tmp_path)
    assert settings_of("--folder", "near").folder == tmp_path / "near"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("500K", 500 << 10),
        ("100M", 100 << 20),
        ("1G", 1 << 30),
        ("1.5g", 3 << 29),
        ("2 GiB", 2 << 30),
        ("7B", 7),
    ],
)
def test_sizes_are_taken_as_people_write_them(text, count):
    assert command._bytes(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1e9", "1,000", "0x10", "nan", "9" * 40, "1 M B"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="100M"):
        command._bytes(text)


def test_the_help_says_the_defaults(ocrpress):
    text = " ".join(ocrpress("serve", "--help").text.split())
    for words in ("(default: 100M)", "(default: 8000)", "(default: 256)", "(default: 2,000)", "ocrpress[serve]"):
        assert words in text
    for option in ("--pages ", "--password", "--format ", "--keep-furniture", "--page-breaks", "--figures"):
        assert option not in text


def test_the_help_imports_nothing_of_the_server():
    code = (
        "import sys; from ocrpress.__main__ import main\n"
        "try: main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'fastapi', 'uvicorn', 'starlette', 'pydantic', 'asyncio', 'prometheus_client', 'torch', 'openvino'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], ["70000", "65535"]),
        (["--port", "http"], ["--port"]),
        (["--max-bytes", "many"], ["--max-bytes", "100M"]),
        (["--max-bytes", "0"], ["max_bytes", "1 or more"]),
        (["--queue", "0"], ["queue"]),
        (["--max-pages", "-3"], ["max_pages"]),
        (["--keep-hours", "nan"], ["keep_hours"]),
        (["--request-seconds", "0"], ["request_seconds"]),
        (["--drain-seconds", "-1"], ["drain_seconds"]),
        (["--page-limit", "0"], ["time limit of a page"]),
        (["--mode", "larg"], ["unknown mode 'larg'", "did you mean 'large'"]),
        (["--engine", "fak"], ["unknown engine", "did you mean 'fake'"]),
        (["--checkpoint", "x"], ["--checkpoint", "deepseek"]),
        (["--task", "describe"], ["describe"]),
        (["--dpi", "-1"], ["dpi"]),
        (["--origin", "example.org"], ["https://example.org"]),
        (["--origin", "https://example.org/page"], ["without a path"]),
        (["--origin", "*"], ["https://example.org"]),
        (["--pages", "1-3"], ["unknown option '--pages'", "--max-pages"]),
        (["--password", "x"], ["unknown option '--password'"]),
        (["paper.pdf"], ["unexpected argument 'paper.pdf'"]),
        (["--log-format", "xml"], ["unknown log format 'xml'", "line, json"]),
        (["--token-file", "nowhere"], ["nowhere", "cannot be read"]),
        (["--host", "no.such.host.invalid"], ["no.such.host.invalid", "--host"]),
    ],
)
def test_wrong_usage_is_one_line_with_a_remedy(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    engine = [] if "--engine" in arguments else ["--engine", "fake"]
    assert main(["serve", *engine, "--folder", "served", "--port", "0", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("ocrpress: ")
    for word in words:
        assert word in captured.err
    assert not (tmp_path / "served").exists()


def test_what_is_not_installed_is_named_with_the_remedy(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--engine", "fake", "--folder", str(tmp_path)]) == 2
    assert "pip install 'ocrpress[serve]'" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused_before_anything_else(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["serve", "--engine", "fake", "--folder", str(tmp_path / "served"), "--port", port]) == 2
    line = capsys.readouterr().err
    assert f"port {port}" in line
    assert "--port" in line
    assert not (tmp_path / "served").exists()


# Tokens


def test_a_token_file_has_a_token_a_line(token_file):
    text = f"\ufeff# who may\n\nann {TOKEN}\n  {OTHER}  \n\tann\t{TOKEN}x\r\n#bob {TOKEN}yy\n"
    assert read_tokens(token_file(text)) == {TOKEN: "ann", OTHER: "client 4", f"{TOKEN}x": "ann"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no token", "secrets.token_urlsafe"]),
        ("# only words\n\n", ["no token"]),
        ("ann short", ["line 1", "shorter than 16"]),
        (f"{TOKEN}\nann {TOKEN}", ["line 2", "twice"]),
        (f"ann bob {TOKEN}", ["line 1", "3 words"]),
        (f"ann {TOKEN}ä", ["line 1", "letters"]),
        (f"a\x1bnn {TOKEN}", ["line 1"]),
        (b"ann \xff\xfe0123456789abcdef", ["no text"]),
        (b"\0" * 2_000_000, ["too large"]),
    ],
)
def test_a_token_file_that_is_wrong_is_refused_without_naming_a_token(token_file, text, words):
    with pytest.raises(UsageError) as refused:
        read_tokens(token_file(text))
    line = str(refused.value)
    assert all(word in line for word in words)
    assert TOKEN not in line
    assert "short " not in line


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_tokens(path)


def test_a_token_file_that_others_may_read_is_told_of(settings_of, token_file):
    path = token_file(f"ann {TOKEN}", mode=0o644)
    assert is_open_to_others(path)
    settings_of("--token-file", path)
    assert any(f"chmod 600 {path}" in line for line in settings_of.said)
    path.chmod(0o600)
    settings_of("--token-file", path)
    assert settings_of.said == []


def test_tokens_are_not_shown_with_the_settings(settings_of, token_file):
    assert TOKEN not in repr(settings_of("--token-file", token_file(f"ann {TOKEN}")))


# In a process of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(start, tmp_path, number):
    process = start("--log-format", "json", "--mode", "tiny")
    assert process.lines == [f"ocrpress: serving on {process.url} (engine fake, mode tiny)\n"]
    answer = httpx.post(f"{process.url}/v1/convert", files=upload(png((120, 80))), timeout=60)
    assert "120 by 80" in answer.text
    process.send_signal(number)
    assert process.wait(30) == 0
    process.reading.join(10)
    logged = [json.loads(line) for line in process.lines[1:]]
    assert [(line["method"], line["path"], line["status"]) for line in logged] == [("POST", "/v1/convert", 200)]
    served = tmp_path / "served"
    assert stat.S_IMODE(served.stat().st_mode) == 0o700
    assert not [path for path in served.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert list((served / "uploads").iterdir()) == []


def test_a_second_signal_ends_it_at_once(start):
    process = start("--drain-seconds", "600", "--quiet")
    head = b"POST /v1/convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", int(process.url.rpartition(":")[2]))) as slow:
        slow.sendall(head + b"Content-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in slow.recv(1000)  # it is under way
        process.terminate()
        wait_until(lambda: httpx.get(f"{process.url}/readyz").status_code == 503)
        assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM


def test_a_folder_that_is_in_use_is_refused(start):
    start()
    second = start(ready=False)
    assert second.wait(30) == 2
    second.reading.join(10)
    [line] = second.lines
    assert "--folder" in line


def test_an_engine_that_does_not_run_is_told_of(capsys, tmp_path, monkeypatch):
    command = faulty_command(tmp_path, ["engine", 0, "give_up", 0])
    monkeypatch.setattr("ocrpress.server.run.make_service", lambda settings: make_service(settings, command))
    monkeypatch.setattr("ocrpress.server.run.os.umask", lambda mask: None)
    assert main(["serve", "--engine", "fake", "--folder", str(tmp_path / "served"), "--port", "0"]) == 4
    assert capsys.readouterr().err == "ocrpress: the accelerator is gone: reboot\n"


def test_tokens_and_what_is_read_stay_out_of_the_log(start, token_file):
    process = start("--token-file", token_file(f"ann {TOKEN}"))
    for headers in ({}, {"Authorization": f"Bearer {OTHER}"}, {"Authorization": f"Bearer {TOKEN}"}):
        httpx.post(
            f"{process.url}/v1/convert?t={TOKEN}", files=upload(pdf(), "secret.pdf"), headers=headers, timeout=60
        )
    process.terminate()
    assert process.wait(30) == 0
    process.reading.join(10)
    said = "".join(process.lines)
    assert said.count(" POST /v1/convert 401 ") == 2
    assert "ann POST /v1/convert 200" in said
    for secret in (TOKEN, OTHER, "secret"):
        assert secret not in said
