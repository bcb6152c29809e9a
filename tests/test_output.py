from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from conftest import environment

from ocrpress.errors import OutputError
from ocrpress.output import check_folder, check_writable, write_text


def test_a_file_is_written_as_utf8_with_the_usual_rights(tmp_path):
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "a.md", "Zürich\n")
    finally:
        os.umask(old)
    assert (tmp_path / "a.md").read_bytes() == "Zürich\n".encode()
    assert stat.S_IMODE((tmp_path / "a.md").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("old")

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match=r"a\.md .No space left on device.: choose another place"):
        write_text(tmp_path / "a.md", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.md", "old")]


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path; from ocrpress.output import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(Path(sys.argv[1]), 'x' * 5000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.md"], env=environment(), capture_output=True, check=False
    )
    assert b"OutputError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_link_keeps_pointing_where_it_points(tmp_path):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "link.md").symlink_to("real.md")
    write_text(tmp_path / "link.md", "new")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").read_text() == "new"


def test_a_device_is_written_to_and_not_replaced():
    from pathlib import Path

    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="No space left"):
        write_text(Path("/dev/full"), "text")


def test_the_check_makes_folders_and_leaves_nothing_else(tmp_path):
    check_writable(tmp_path / "new" / "deep" / "a.md")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_the_check_finds_what_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a folder of that name is in the way"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="file"):
        check_writable(tmp_path / "file" / "a.md")
    with pytest.raises(OutputError, match="too long"):
        check_writable(tmp_path / ("a" * 300))
    with pytest.raises(OutputError):
        check_folder(tmp_path / "file")
