from __future__ import annotations

import hashlib
import json
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from checkpoints import write_small_checkpoint
from conftest import Run, environment
from fakehub import FakeHub

from ocrpress.engines.cards import WeightsFile, cards, load_card

REPOSITORY = "some-one/small-ocr"
FILE = "model-00001-of-000001.safetensors"


SMALL_GB = 0.0046  # of the checkpoint that our hub serves


@pytest.fixture
def hub(tmp_path):
    folder = write_small_checkpoint(tmp_path / "served")
    (folder / "modeling_trap.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "README.md").write_text("# small")
    found = FakeHub(folder, REPOSITORY)
    yield found
    found.close()


@pytest.fixture
def pull(hub, tmp_path, monkeypatch, capsysbinary):
    """`ocrpress pull` in this process, asking our hub, with a cache of its own."""
    from huggingface_hub import constants

    from ocrpress.__main__ import main

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))

    def run(*arguments, name=REPOSITORY):
        code = main(["pull", name, *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return Run(code, out, err.decode())

    run.cache = tmp_path / "home" / "hub" / "models--some-one--small-ocr"
    return run


@pytest.fixture
def alone(ocrpress, hub, tmp_path):
    """The same in a process of its own, told by the environment alone."""
    home = {"HF_HOME": str(tmp_path / "home")}
    return lambda preexec_fn=None, **env: ocrpress(
        "pull", REPOSITORY, env={"HF_ENDPOINT": hub.url, **home, **env}, preexec_fn=preexec_fn
    )


def parts(folder):
    return [path for path in folder.rglob("*.part") if path.is_file()]


def test_a_clean_download_prints_its_folder_and_is_found_from_then_on(alone, pull, hub, tmp_path):
    done = alone()
    assert (done.code, done.err) == (0, "")
    folder = pull.cache / "snapshots" / hub.commit
    assert done.text == f"{folder}\n"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "tokenizer.json", FILE, "model.safetensors.index.json"
    }  # fmt: skip
    from huggingface_hub import try_to_load_from_cache

    for path in folder.iterdir():
        assert path.read_bytes() == (hub.folder / path.name).read_bytes()
        assert try_to_load_from_cache(REPOSITORY, path.name, cache_dir=pull.cache.parent, revision=hub.commit) == str(
            path
        )
    assert parts(pull.cache) == []
    code = (
        "from ocrpress.engines.deepseek.checkpoint import open_checkpoint as o; print(o('some-one/small-ocr').folder)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(HF_HOME=str(tmp_path / "home")), capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == str(folder)


def test_what_is_here_is_not_fetched_again_but_is_verified(pull, hub):
    pull()
    hub.asked.clear()
    assert pull().code == 0
    assert hub.downloaded(FILE) == []
    blob = (pull.cache / "snapshots" / hub.commit / FILE).resolve()
    blob.chmod(0o644)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert pull().code == 0  # mended
    assert hub.downloaded(FILE) == [""]
    assert blob.read_bytes() == (hub.folder / FILE).read_bytes()


def test_a_folder_of_ones_own(pull, hub, tmp_path):
    done = pull("--to", tmp_path / "mine")
    assert (done.code, done.text) == (0, f"{tmp_path / 'mine'}\n")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "config.json", "tokenizer.json", FILE, "model.safetensors.index.json"
    }  # fmt: skip
    assert not (pull.cache / "blobs").exists()


def test_a_connection_that_ends_midway_is_taken_up_again_by_itself(pull, hub):
    hub.cut = [100_000, 200_000, 1]
    done = pull()
    assert (done.code, done.err) == (0, "")
    assert hub.downloaded(FILE) == ["", "bytes=100000-", "bytes=300000-", "bytes=300001-"]


def test_a_process_that_is_killed_midway_leaves_what_came_and_the_next_goes_on_there(alone, pull, hub, tmp_path):
    hub.stall = 300_000
    process = subprocess.Popen(
        [sys.executable, "-m", "ocrpress", "pull", REPOSITORY],
        env=environment(HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home")),
    )
    assert hub.stalled.wait(60)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size >= 300_000 for path in parts(pull.cache)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    hub.stall = 0
    hub.asked.clear()
    done = pull()
    assert (done.code, done.err) == (0, "")
    assert hub.downloaded(FILE) == ["bytes=300000-"]
    assert hub.downloaded("config.json") == []
    assert parts(pull.cache) == []


def test_a_server_that_cannot_resume_starts_over(pull, hub):
    hub.cut, hub.resumes = [100_000], False
    assert pull().code == 0
    assert hub.downloaded(FILE) == ["", "bytes=100000-"]


def test_a_wrong_part_is_thrown_away(pull, hub):
    pull()
    blob = (pull.cache / "snapshots" / hub.commit / FILE).resolve()
    blob.unlink()
    blob.with_name(blob.name + ".part").write_bytes(b"\0" * 300_000)
    done = pull()
    assert (done.code, len(done.lines)) == (4, 1)
    assert "came corrupted: run it again" in done.err
    assert pull().code == 0


@pytest.mark.parametrize("file", [FILE, "config.json", "tokenizer.json"])
def test_corrupted_content_is_found_by_its_checksum_and_not_kept(pull, hub, file):
    hub.corrupt = {file}
    done = pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert f"{file} of {REPOSITORY} came corrupted" in done.err
    hub.corrupt = set()
    assert pull().code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("some-one/other-ocr", "the hub knows no some-one/other-ocr"),
        ("deepseek-ocr", "the hub knows no deepseek-ai/DeepSeek-OCR"),
    ],
)
def test_a_repository_that_is_not_there_is_one_line(pull, name, said):
    done = pull(name=name)
    assert (done.code, len(done.lines)) == (4, 1)
    assert said in done.err


def test_a_commit_that_is_not_there_any_more_is_one_line(pull, hub):
    hub.repository = "deepseek-ai/DeepSeek-OCR"
    done = pull(name="deepseek-ocr")
    assert (done.code, len(done.lines)) == (4, 1)
    assert "has no commit 9f30c71f441d010e5429c532364a86705536c53a" in done.err


def test_a_card_that_names_other_weights_refuses_the_hubs(pull, hub):
    hub.repository, hub.commit = "baidu/Unlimited-OCR", "07dea832e22aefee32ad281d4b80551282e1c168"
    done = pull(name="unlimited-ocr")
    assert (done.code, len(done.lines)) == (4, 1)
    assert f"{FILE} of baidu/Unlimited-OCR is not the one that our card names" in done.err
    assert hub.downloaded(FILE) == []


def test_a_card_pulls_its_pinned_commit(pull, hub):
    hub.repository, hub.commit = "deepseek-ai/DeepSeek-OCR", "9f30c71f441d010e5429c532364a86705536c53a"
    done = pull(name="deepseek-ocr")
    assert (done.code, done.err) == (0, "")
    assert done.text.endswith("models--deepseek-ai--DeepSeek-OCR/snapshots/9f30c71f441d010e5429c532364a86705536c53a\n")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_hub_that_refuses_is_one_line(pull, hub, status):
    hub.status = status
    done = pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert str(status) in done.err


def test_a_hub_that_is_down_is_one_line_with_the_remedy(alone):
    done = alone(HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.code, len(done.lines)) == (4, 1)
    assert "the hub cannot be reached" in done.err
    assert "run it again" in done.err
    done = alone(HF_HUB_OFFLINE="1")
    assert (done.code, len(done.lines)) == (4, 1)
    assert "the hub cannot be reached" in done.err


@pytest.mark.parametrize("strange", ["../../../../etc/passwd", "", "c" * 39])
def test_a_hub_that_names_no_commit_or_no_checksum_is_refused(pull, hub, monkeypatch, strange):
    real = hub.describe()
    for key, found in {
        "commit": {**real, "sha": strange},
        "checksum": {**real, "siblings": spoilt(real, strange)},
    }.items():
        monkeypatch.setattr(hub, "describe", lambda found=found: found)
        done = pull()
        assert (done.code, len(done.lines)) == (4, 1)
        assert key in done.err
    assert not pull.cache.exists()


def spoilt(description, digest):
    siblings = json.loads(json.dumps(description["siblings"]))
    for each in siblings:
        each["blobId"] = digest
        each.get("lfs", {})["sha256"] = digest
    return siblings


def test_a_repository_without_safetensors_is_refused_before_the_download(pull, hub):
    (hub.folder / FILE).rename(hub.folder / "model.bin")
    done = pull()
    assert (done.code, len(done.lines)) == (4, 1)
    assert "has no safetensors" in done.err


def test_another_architecture_is_refused_before_its_weights_are_fetched(pull, hub):
    (hub.folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}')
    done = pull()
    assert (done.code, len(done.lines)) == (4, 1)
    assert "model_type is 'llama'" in done.err
    assert hub.downloaded(FILE) == []


def test_tensors_that_do_not_fit_are_found_after_the_download(pull, hub):
    write_small_checkpoint(hub.folder, lambda tensors: tensors.pop("model.norm.weight"))
    done = pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert "1 tensor missing (model.norm.weight)" in done.err


def test_too_little_room_is_found_before_the_download(pull, hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    done = pull()
    assert (done.code, len(done.lines)) == (2, 1)
    assert "where 0.0 GB are free: make room there, or choose another place with --to" in done.err
    assert hub.downloaded(FILE) == []


def test_a_disk_that_fills_up_is_one_line_and_keeps_what_came(alone, pull, hub):
    # A limit of the size of a file stands in for the end of the disk.
    done = alone(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    assert (done.code, done.text, len(done.lines)) == (2, "", 1)
    assert "cannot write into" in done.err
    assert "make room there and run it again: it goes on from there" in done.err
    assert [path.stat().st_size for path in parts(pull.cache)] == [1_000_000]
    assert pull().code == 0
    assert hub.downloaded(FILE) == ["", "bytes=1000000-"]


def test_a_place_that_cannot_be_written_is_one_line(pull, tmp_path):
    (tmp_path / "file").write_text("a file where a folder should be")
    for place in ("file", "file/in"):
        done = pull("--to", tmp_path / place)
        assert (done.code, len(done.lines)) == (2, 1)
        assert "cannot write into" in done.err


def test_two_at_once_do_not_mix_their_bytes(alone, pull, hub):
    hub.stall = 300_000
    with ThreadPoolExecutor() as pool:
        first = pool.submit(alone)
        assert hub.stalled.wait(60)
        second = pull()
        hub.stall = 0
    assert (second.code, len(second.lines)) == (4, 1)
    assert "is being downloaded by another process: wait for it" in second.err
    assert (first.result().code, pull().code, parts(pull.cache)) == (0, 0, [])


def test_a_download_that_gets_nowhere_gives_up_and_says_how_far_it_came(pull, hub, monkeypatch):
    monkeypatch.setattr("ocrpress.engines.deepseek.download.PAUSE", 0.001)
    hub.cut = [3_000_000] + [0] * 20
    done = pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert f"the download of {FILE} broke off at 0.00 of 0.00 GB" in done.err
    assert "run it again: it goes on from there" in done.err
    assert [path.stat().st_size for path in parts(pull.cache)] == [3_000_000]
    assert hub.downloaded(FILE) == [""] + ["bytes=3000000-"] * 5


@pytest.mark.parametrize(
    ("status", "tries", "said"),
    [
        (401, 1, "the hub answers 401 for config.json: run: hf auth login"),
        (403, 1, "the hub answers 403 for config.json: run: hf auth login"),
        (404, 1, "the hub answers 404 for config.json: try again later"),
        (429, 5, "config.json broke off at 0.00 of 0.00 GB (the hub answers 429): run it again"),
        (503, 5, "config.json broke off at 0.00 of 0.00 GB (the hub answers 503): run it again"),
    ],
)
def test_a_file_that_the_hub_does_not_hand_out_is_one_line(pull, hub, monkeypatch, status, tries, said):
    monkeypatch.setattr("ocrpress.engines.deepseek.download.PAUSE", 0.001)
    hub.status_of_files = status
    done = pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert said in done.err
    assert len(hub.downloaded("config.json")) == tries


def test_the_token_goes_to_the_hub_and_to_no_other_host(alone, hub):
    elsewhere = FakeHub(hub.folder, REPOSITORY)
    hub.forward = elsewhere.url
    done = alone(HF_TOKEN="secret")
    elsewhere.close()
    assert (done.code, done.err) == (0, "")
    assert hub.tokens == {"Bearer secret"}
    assert hub.downloaded(FILE) == ["", ""]
    assert (elsewhere.tokens, elsewhere.downloaded(FILE)) == ({""}, [""])


def test_an_unknown_name_comes_with_the_nearest(ocrpress):
    done = ocrpress("pull", "deepsek-ocr")
    assert (done.code, len(done.lines)) == (2, 1)
    assert "did you mean 'deepseek-ocr'" in done.err


def test_a_bar_is_drawn_on_a_terminal(monkeypatch, capsys):
    from ocrpress.cli.pull import _bar

    with _bar("a file", 1000, 300) as advance:
        time.sleep(1.1)
        advance(400)
    assert "a file:  70%" in capsys.readouterr().err


@pytest.fixture
def pinned(hub, pull, tmp_path, monkeypatch):
    """`ocrpress pull` of a card that pins the commit that our hub serves."""
    hub.repository, hub.commit = "deepseek-ai/DeepSeek-OCR", load_card("deepseek-ocr").revision
    # Of the real weights' pins, if the card has any, ours could not be.
    unpinned = {**cards(), "deepseek-ocr": replace(load_card("deepseek-ocr"), weights={}, download_gb=SMALL_GB)}
    monkeypatch.setattr("ocrpress.engines.deepseek.download.cards", lambda: unpinned)
    snapshots = tmp_path / "home" / "hub" / "models--deepseek-ai--DeepSeek-OCR" / "snapshots"
    return SimpleNamespace(pull=partial(pull, name="deepseek-ocr"), folder=snapshots / hub.commit)


def test_what_is_pinned_and_here_is_verified_without_the_hub(pinned, hub, monkeypatch):
    assert pinned.pull().code == 0
    hub.close()
    monkeypatch.setattr("ocrpress.engines.deepseek.download.look_up", lambda *_: pytest.fail("the hub was asked"))
    done = pinned.pull()
    assert (done.code, done.text, len(done.lines)) == (0, f"{pinned.folder}\n", 1)
    assert "deepseek-ocr is here; verified without the hub: the checksums of 4 of 4 files" in done.err
    assert pinned.pull("--quiet").err == ""


def test_a_folder_of_ones_own_is_verified_without_the_hub_too(pinned, hub, tmp_path):
    assert pinned.pull("--to", tmp_path / "mine").code == 0
    hub.close()
    done = pinned.pull("--to", tmp_path / "mine")
    assert (done.code, done.text) == (0, f"{tmp_path / 'mine'}\n")
    assert "the checksums of 0 of 4 files, the tokenizer, and the tensors' names and shapes" in done.err


@pytest.mark.parametrize("file", [FILE, "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_what_is_missing_or_damaged_needs_the_hub(pinned, hub, file, damage):
    pinned.pull()
    hub.close()
    blob = (pinned.folder / file).resolve()
    content = blob.read_bytes()
    blob.unlink()
    if damage != "gone":
        blob.write_bytes(content[:-1] + (b" " if damage == "changed" else b""))
    done = pinned.pull()
    assert (done.code, done.text, len(done.lines)) == (4, "", 1)
    assert "the hub cannot be reached" in done.err
    assert "run it again" in done.err


def test_pinned_weights_are_held_against_the_card_in_any_folder(pinned, hub, tmp_path, monkeypatch):
    pinned.pull("--to", tmp_path / "mine")
    path = tmp_path / "mine" / FILE
    content = path.read_bytes()
    pins = {FILE: WeightsFile(len(content), hashlib.sha256(content).hexdigest())}
    card = replace(load_card("deepseek-ocr"), weights=pins, download_gb=SMALL_GB)
    monkeypatch.setattr("ocrpress.engines.deepseek.download.cards", lambda: {card.name: card})
    hub.close()
    assert "the checksums of 1 of 4 files" in pinned.pull("--to", tmp_path / "mine").err
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert pinned.pull("--to", tmp_path / "mine").code == 4


def test_what_is_not_pinned_does_with_what_is_here_if_the_hub_cannot_be_reached(pull, hub):
    pull()
    hub.asked.clear()
    assert (pull().err, bool(hub.asked)) == ("", True)
    hub.close()
    done = pull()
    assert (done.code, done.text) == (0, f"{pull.cache / 'snapshots' / hub.commit}\n")
    assert re.search("verified without the hub.*\n.*the hub cannot be reached", done.err)
    (pull.cache / "snapshots" / hub.commit / FILE).unlink()
    assert pull().code == 4


def test_a_folder_of_another_size_does_not_pass_for_the_card_s_checkpoint(pinned, hub, tmp_path, monkeypatch):
    folder = write_small_checkpoint(tmp_path / "other")
    card = replace(load_card("deepseek-ocr"), weights={})
    monkeypatch.setattr("ocrpress.engines.deepseek.download.cards", lambda: {card.name: card})
    hub.close()
    done = pinned.pull("--to", folder)
    assert done.code == 4
    assert "is here" not in done.err
