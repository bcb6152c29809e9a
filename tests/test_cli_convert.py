from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from pdfmaker import Page, make_pdf, make_text_pdf, text
from PIL import Image

from ocrpress.__main__ import main
from ocrpress.cli.choose import choose_engine
from ocrpress.cli.inputs import expand, output_stems
from ocrpress.engines.base import EngineOptions
from ocrpress.engines.fake import FakeEngine, script


def test_text_goes_to_stdout_and_nothing_else_does(ocrpress, pdf):
    run = ocrpress("convert", pdf, "--engine", "fake")
    assert (run.code, run.err) == (0, "")
    assert run.text.startswith("<!-- page 1 -->\n\nPage 1 is ")
    assert run.text.count("<!-- page ") == 3


def test_auto_says_which_engine_it_took_and_why_unless_quiet(tmp_path, ocrpress):
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")  # a blank page costs no engine
    run = ocrpress("convert", "blank.png")
    assert (run.code, run.text) == (0, "<!-- page 1 -->\n")
    assert len(run.lines) == 1
    assert run.err.startswith("ocrpress: engine rapid: ")
    assert ocrpress("convert", "blank.png", "--quiet").err == ""


def test_the_options_reach_the_pipeline(ocrpress, pdf):
    run = ocrpress(
        "convert", pdf, "--engine", "fake", "--mode", "base", "--pages", "2-", "--format", "json", "--workers", "0",
        "--renderer", "pdfium",
    )  # fmt: skip
    found = json.loads(run.text)
    assert [page["number"] for page in found["pages"]] == [2, 3]
    assert (found["mode"], found["page_count"], found["pages"][0]["plan"]["vision_tokens"]) == ("base", 2, 256)
    run = ocrpress("convert", pdf, "--engine", "fake", "--dpi", "72", "--format", "txt", "--page-breaks", "none")
    assert "612 by 792 pixels" in run.text
    assert "\f" not in run.text


def test_one_input_goes_to_the_file_or_into_the_folder(tmp_path, ocrpress, pdf):
    (tmp_path / "there").mkdir()
    for output, written in [("new/out.md", "new/out.md"), ("there", "there/three.md"), ("fresh/", "fresh/three.md")]:
        run = ocrpress("convert", pdf, "--engine", "fake", "-o", output)
        assert (run.code, run.out, run.err) == (0, b"", "")
        assert (tmp_path / written).read_text().count("<!-- page ") == 3


def test_an_output_named_minus_is_stdout(tmp_path, ocrpress, pdf):
    assert ocrpress("convert", pdf, "--engine", "fake", "-o", "-").text.startswith("<!-- page 1 -->")
    assert not (tmp_path / "-").exists()


def test_several_inputs_go_into_a_folder_and_never_into_the_same_file(tmp_path, ocrpress):
    for name in ("a/x.pdf", "b/x.pdf", "y.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make_text_pdf(1))
    Image.new("RGB", (64, 64), "white").save(tmp_path / "y.png")
    run = ocrpress("convert", "*/x.pdf", "y.*", "--engine", "fake", "-o", "out", "--format", "json")
    assert (run.code, run.err) == (0, "")
    files = {path.name: json.loads(path.read_text())["source"] for path in (tmp_path / "out").iterdir()}
    assert files == {"a-x.json": "a/x.pdf", "b-x.json": "b/x.pdf", "y.pdf.json": "y.pdf", "y.png.json": "y.png"}


def test_names_for_outputs_are_unique_whatever_comes():
    inputs = ["a/x.pdf", "c/a/x.pdf", "x-2.pdf", "X.PDF", "-", "stdin.pdf", "b/x", "b/x.tar.pdf"]
    stems = output_stems(inputs)
    assert len({stem.casefold() for stem in stems}) == len(inputs)
    assert stems == output_stems(inputs)
    assert output_stems(["report.v2.pdf"]) == ["report.v2"]


def test_patterns_are_expanded_in_order_and_each_file_is_read_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.pdf", "a.pdf", "odd[1].pdf"):
        (tmp_path / name).touch()
    assert expand(["b.pdf", "*.pdf", "none*.pdf", "odd[1].pdf"]) == ["b.pdf", "a.pdf", "odd[1].pdf", "none*.pdf"]


def test_several_inputs_on_stdout_are_told_apart(tmp_path, ocrpress, pdf):
    run = ocrpress("convert", pdf.name, "-", "--engine", "fake", stdin=make_text_pdf(1))
    parts = run.text.split("<!-- document ")
    assert [part.partition(" -->")[0] for part in parts] == ["", "three.pdf", "-"]
    run = ocrpress(
        "convert", pdf.name, "missing.pdf", "-", "--engine", "fake", "--format", "json", stdin=make_text_pdf(1)
    )
    assert [found["source"] for found in json.loads(run.text)] == ["three.pdf", "-"]
    run = ocrpress("convert", "no.pdf", "none.pdf", "--engine", "fake", "--format", "json")
    assert json.loads(run.text) == []


def test_a_folder_is_one_document_of_its_images(tmp_path, ocrpress):
    (tmp_path / "scans").mkdir()
    for number in (1, 2, 10):
        Image.new("RGB", (60 + number, 64), "white").save(tmp_path / "scans" / f"page{number}.png")
    run = ocrpress("convert", "scans", "--engine", "fake", "-o", "out/")
    assert (run.code, run.err) == (0, "")
    assert (tmp_path / "out" / "scans.md").read_text().count("<!-- page ") == 3


def test_one_bad_input_does_not_end_the_batch(tmp_path, ocrpress, pdf):
    (tmp_path / "bad.pdf").write_bytes(b"no PDF")
    run = ocrpress("convert", "bad.pdf", pdf, "none*.pdf", "--engine", "fake", "-o", "out")
    assert run.code == 1
    assert len(run.lines) == 2
    assert "bad.pdf" in run.lines[0]
    assert "no file matches 'none*.pdf'" in run.lines[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["three.md"]
    run = ocrpress("convert", "bad.pdf", "missing.pdf", "--engine", "fake", "-o", "out")
    assert (run.code, len(run.lines)) == (3, 2)


def test_stdout_is_utf8_whatever_the_locale_says(tmp_path, ocrpress, pdf):
    odd = pdf.rename(tmp_path / "Zürich.pdf")
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    run = ocrpress("convert", odd.name, "--engine", "fake", "--format", "json", env=env)
    assert run.code == 0
    assert "Zürich.pdf" in run.text


def test_a_file_name_that_is_not_unicode_is_no_trouble(tmp_path, ocrpress, pdf):
    os.rename(os.fsencode(pdf), os.fsencode(tmp_path) + b"/\xff.pdf")  # noqa: PTH104
    run = ocrpress("convert", os.fsdecode(b"\xff.pdf"), "--engine", "fake", "--format", "json", "-o", "out/")
    assert run.code == 0
    assert json.loads((tmp_path / "out" / os.fsdecode(b"\xff.json")).read_text())["source"] == "\ufffd.pdf"


def test_a_reader_that_leaves_early_is_no_error(tmp_path, pdf):
    code = f'"{sys.executable}" -m ocrpress convert "{pdf}" "{pdf}x" "{pdf}" --engine fake 2>&1 >&3 | cat'
    done = subprocess.run(
        ["bash", "-c", f"exec 3> >(exec true); sleep 0.3; {code}"], env=environment(), capture_output=True, check=False
    )  # fmt: skip
    assert b"Traceback" not in done.stdout
    assert b"Broken" not in done.stdout
    assert done.stdout.count(b"\n") <= 1


def test_figures_are_cropped_and_linked_from_where_the_output_lies(tmp_path, monkeypatch):
    from ocrpress.__main__ import main
    from ocrpress.document import Region
    from ocrpress.engines import fake

    def regions(read, width, height):
        yield Region("figure", (10, 10, width - 10, height / 2))

    monkeypatch.setattr(fake, "_regions", regions)
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.pdf", "b/x.pdf"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(make_text_pdf(1))
    assert main(["convert", "a/x.pdf", "b/x.pdf", "--engine", "fake", "--figures", "figs", "-o", "out"]) == 0
    assert "![Figure](../figs/a-x-p0001-1.png)" in (tmp_path / "out" / "a-x.md").read_text()
    assert sorted(path.name for path in (tmp_path / "figs").iterdir()) == ["a-x-p0001-1.png", "b-x-p0001-1.png"]


def test_furniture_is_dropped_and_kept_on_request(tmp_path, monkeypatch):
    from ocrpress.__main__ import main
    from ocrpress.document import Region
    from ocrpress.engines import fake

    def regions(read, width, height):
        yield Region("line", (100, 0.03 * height, 500, 0.05 * height), "THE RUNNING HEAD", height=0.02 * height)
        yield Region("line", (100, 0.3 * height, 900, 0.32 * height), read, height=0.02 * height)

    monkeypatch.setattr(fake, "_regions", regions)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pdf").write_bytes(make_pdf([Page(text(f"Page {n}")) for n in range(6)]))
    for more, count in ((), 0), (("--keep-furniture",), 6):
        assert main(["convert", "x.pdf", "--engine", "fake", "-o", "x.md", *more]) == 0
        assert (tmp_path / "x.md").read_text().count("THE RUNNING HEAD") == count


@pytest.mark.parametrize("name", ["convert", "modes", "doctor"])
def test_every_command_has_help(ocrpress, name):
    run = ocrpress(name, "--help")
    assert (run.code, run.err) == (0, "")
    assert run.text.startswith(f"usage: ocrpress {name}")


def test_a_terminal_gets_a_progress_bar_that_is_wiped_off_again(tmp_path):
    import pty
    import threading

    from test_cli_interrupt import SLOW

    (tmp_path / "long.pdf").write_bytes(make_text_pdf(10, 1))
    master, terminal = pty.openpty()
    seen = bytearray()

    def listen():
        while True:
            try:
                seen.extend(os.read(master, 4096))
            except OSError:  # the other end is closed
                return

    listener = threading.Thread(target=listen)
    listener.start()
    done = subprocess.run(
        [sys.executable, "-c", SLOW, "convert", "long.pdf", "--engine", "fake", "-o", "out.md"], cwd=tmp_path,
        env=environment(), stderr=terminal, timeout=60, check=False,
    )  # fmt: skip
    os.close(terminal)
    listener.join()
    os.close(master)
    assert done.returncode == 0
    assert "/10 [" in seen.decode()
    assert "page/s]" in seen.decode()
    assert seen.decode().rstrip().count("\r") > 2


@pytest.mark.parametrize("inputs", [1, 2])
def test_pages_that_were_finished_before_the_engine_broke_are_written(tmp_path, pdf, capsys, monkeypatch, inputs):
    class Breaking(FakeEngine):
        def read(self, requests):
            for count, completion in enumerate(super().read(requests)):
                if count == 2:
                    raise RuntimeError("the driver is gone")
                yield completion

    monkeypatch.setattr("ocrpress.cli.conversion.open_engine", lambda name, options: Breaking())
    sources = [str(pdf), str(pdf.with_name("copy.pdf"))][:inputs]
    for source in sources[1:]:
        Path(source).write_bytes(pdf.read_bytes())
    code = main(["convert", *sources, "--engine", "fake", "-o", f"{tmp_path}/out/"])
    err = capsys.readouterr().err
    assert code != 0
    assert "the driver is gone" in err
    for source in sources:
        text = (tmp_path / "out" / f"{Path(source).stem}.md").read_text()
        assert "Page 2 is" in text
        assert text.endswith("<!-- incomplete: 2 of 3 pages -->\n")


def opened_with(monkeypatch, engine):
    """The names and options that engines are opened with; each is this one."""
    given = []

    def open_engine(name, options):
        given.append((name, options))
        return engine

    monkeypatch.setattr("ocrpress.cli.conversion.open_engine", open_engine)
    return given


def test_options_of_the_model_reach_engine_and_pipeline(tmp_path, pdf, monkeypatch, capsys):
    asked = []

    def read_as(request):
        asked.append((request.task, request.decoding.max_tokens, request.attempt))
        raise ValueError("NaN")

    given = opened_with(monkeypatch, FakeEngine(read_as, sampling=True, modes=("base", "large")))
    monkeypatch.setenv("OCRPRESS_API_KEY", "secret")
    out = f"{tmp_path}/out.md"
    model = ["--checkpoint", "mine", "--device", "cuda:1", "--slots", "3", "--max-tokens", "77", "--fallback", "none"]
    assert main(["convert", str(pdf), "-o", out, "--engine", "deepseek", "--task", "text", *model]) == 1
    assert given[-1] == ("deepseek", EngineOptions(checkpoint="mine", device="cuda:1", slots=3))
    assert asked == [("text", 77, attempt) for _ in range(3) for attempt in (1, 2)]
    asked.clear()
    server = ["--url", "localhost:8000", "--model", "m", "--timeout", "9", "--no-retries", "--fallback", "none"]
    assert main(["convert", str(pdf), "-o", out, "--engine", "server", "--task", "locate=the seal", *server]) == 1
    assert given[-1] == ("server", EngineOptions(url="localhost:8000", model="m", timeout=9.0, api_key="secret"))
    assert asked == [("locate=the seal", None, 1)] * 3
    main(["convert", str(pdf), "-o", out, "--engine", "server", *server, "--api-key", "given"])
    assert given[-1][1].api_key == "given"
    assert "secret" not in capsys.readouterr().err


def test_pages_that_were_rejected_are_reported_and_the_exit_code_says_so(tmp_path, pdf, monkeypatch, capsys):
    loop = script("One line.\n\n" + "and on " * 400)
    opened_with(monkeypatch, FakeEngine(loop, sampling=True, modes=("base",), name="deepseek"))
    command = ["convert", str(pdf), "--engine", "deepseek", "--retries", "1", "--format", "json"]
    assert main([*command, "--fallback", "none"]) == 1
    out, err = capsys.readouterr()
    assert "3 of 3 pages failed (1-3; page 1: 2 answers of deepseek were rejected" in err
    assert {len(page["attempts"]) for page in json.loads(out)["pages"]} == {2}
    opened = []
    monkeypatch.setattr(
        "ocrpress.pipeline.substitute.open_engine", lambda name: opened.append(name) or FakeEngine(name=name)
    )
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert {page["engine"] for page in json.loads(out)["pages"]} == {"rapid"}
    assert "page 1: read by the engine rapid instead" in err
    assert opened == ["rapid"]


def test_one_substitute_serves_all_documents(tmp_path, pdf, monkeypatch):
    opened_with(monkeypatch, FakeEngine(script(ValueError("NaN")), sampling=True, modes=("base",)))
    opened = []
    monkeypatch.setattr(
        "ocrpress.pipeline.substitute.open_engine", lambda name: opened.append(name) or FakeEngine(name=name)
    )
    copy = pdf.with_name("copy.pdf")
    copy.write_bytes(pdf.read_bytes())
    assert main(["convert", str(pdf), str(copy), "--engine", "deepseek", "-o", f"{tmp_path}/out/", "--quiet"]) == 0
    assert opened == ["rapid"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "rapid", "--url", "localhost"], ["rapid has no use for --url", "--engine server"]),
        (["--engine", "fake", "--no-retries"], ["fake has no use for --retries", "--engine deepseek or"]),
        (["--engine", "deepseek", "--timeout", "3"], ["deepseek has no use for --timeout", "--engine server"]),
        (["--engine", "server", "--device", "cpu"], ["server has no use for --device", "--engine deepseek"]),
        (["--checkpoint", "none-such"], ["rapid (auto: ", "no use for --checkpoint", "none-such"]),
        (["--engine", "rapid", "--task", "text"], ["unknown task of engine rapid 'text'", "markdown"]),
        (["--engine", "deepseek", "--task", "markdwn"], ["'markdwn'", "did you mean 'markdown'"]),
        (["--engine", "server", "--task", "locate"], ["locate=WHAT"]),
        (["--engine", "server", "--slots", "0"], ["--slots", "1 or more"]),
        (["--engine", "deepseek", "--retries", "-1"], ["retries", "0 or more"]),
        (["--engine", "deepseek", "--max-tokens", "0"], ["max_tokens", "1 or more"]),
        (["--engine", "deepseek", "--fallback", "rapd"], ["unknown fallback 'rapd'", "did you mean 'rapid'"]),
        (["--engine", "deepseek", "--timeout", "long"], ["--timeout", "'long'"]),
    ],
)
def test_options_that_the_engine_has_no_use_for_are_refused(pdf, monkeypatch, capsys, arguments, words):
    monkeypatch.setattr("ocrpress.cli.conversion.open_engine", lambda name, options: pytest.fail("opened"))
    assert main(["convert", str(pdf), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("present", "gpu", "engine", "words"),
    [
        (False, True, "rapid", "the checkpoint mine for deepseek is not on this machine"),
        (True, False, "rapid", "no CUDA GPU"),
        (True, None, "rapid", "torch for deepseek is not"),
        (True, True, "deepseek", "the checkpoint mine and a GPU (NVIDIA H100) are here"),
    ],
)
def test_auto_takes_deepseek_where_checkpoint_and_gpu_are(monkeypatch, present, gpu, engine, words):
    if present and gpu is not None:
        torch = pytest.importorskip("torch")
        monkeypatch.setattr("ocrpress.engines.deepseek.device.find_gpu", lambda: 0 if gpu else None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H100")
    else:
        monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    asked = []
    monkeypatch.setattr("ocrpress.engines.deepseek.checkpoint.is_present", lambda name: asked.append(name) or present)
    given = {} if engine == "rapid" else {"checkpoint": "mine"}
    choice = choose_engine("auto", given)
    assert asked == [given.get("checkpoint", "deepseek-ocr")]
    assert choice.name == engine
    assert words.replace("mine", asked[0]) in choice.why
    assert choose_engine("server", {"url": "x"}).why == ""


def test_auto_takes_deepseek_for_the_checkpoint_that_comes_along(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    choice = choose_engine("auto", {"checkpoint": "nano"})
    assert (choice.name, choice.options.checkpoint) == ("deepseek", "nano")
    assert "nano comes with ocrpress" in choice.why
    assert choose_engine("auto", {}).name == "rapid"
