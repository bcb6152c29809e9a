from __future__ import annotations

import subprocess
import sys
import time

import pytest
from conftest import environment

import ocrpress as package
from ocrpress.__main__ import main
from ocrpress.cli import doctor
from ocrpress.cli.main import COMMANDS


def test_version(ocrpress):
    run = ocrpress("--version")
    assert (run.code, run.text) == (0, f"ocrpress {package.__version__}\n")


def test_help_is_quick(ocrpress):
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert ocrpress("--help").code == 0
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.2


def test_every_command_stands_in_the_list_and_has_a_help_of_its_own(ocrpress):
    listed = ocrpress("--help", "convert").text
    for name, about in COMMANDS.items():
        assert name in listed
        assert " ".join(about.split()) in " ".join(listed.split())
        assert f"ocrpress {name}" in ocrpress(name, "--help").text


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["bench", "--help"], ["modes"], ["models"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from ocrpress.__main__ import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'openvino', 'tqdm', 'pypdfium2', 'subprocess', 'torch', 'transformers', 'httpx2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no command", "convert"]),
        (["konvert"], ["unknown command 'konvert'", "did you mean 'convert'"]),
        (["paper.pdf"], ["'paper.pdf' is no command", "ocrpress convert paper.pdf"]),
        (["convert"], ["INPUT", "ocrpress convert --help"]),
        (["convert", "x.pdf", "--formt", "md"], ["unknown option '--formt'", "did you mean '--format'"]),
        (["convert", "x.pdf", "--form", "md"], ["unknown option '--form'", "did you mean '--format'"]),
        (["convert", "x.pdf", "--dpi", "many"], ["--dpi", "'many'"]),
        (["modes", "a", "b"], ["unexpected argument 'b'", "ocrpress modes --help"]),
    ],
)
def test_wrong_usage_is_one_line_with_a_remedy(capsys, arguments, words):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("ocrpress: ")
    for word in words:
        assert word in captured.err


def test_an_error_of_ours_is_one_line_and_the_traceback_comes_with_debug(capsys, monkeypatch):
    def broken(args):
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(doctor, "run", broken)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == (
        "ocrpress: internal error: ZeroDivisionError: a b: run again with --debug and report it\n"
    )
    assert main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert main(["--debug", "doctor"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_full_or_closed_stdout_is_one_line(tmp_path):
    command = f'"{sys.executable}" -m ocrpress modes'
    for redirect, word in ((">/dev/full", "No space left on device"), (">&-", "closed")):
        done = subprocess.run(
            ["bash", "-c", f"{command} {redirect}"], env=environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert word in done.stderr


def test_names_cannot_send_commands_to_the_terminal(capsys):
    assert main(["convert", "a\x1b[31m\nb.pdf", "--engine", "fake"]) == 3
    assert "\x1b" not in capsys.readouterr().err
