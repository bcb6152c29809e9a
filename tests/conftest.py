"""Shared by all tests: the command line in a process of its own, and small documents."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pdfmaker import make_text_pdf

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """What a command line did."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        """Lines on stderr."""
        return self.err.splitlines()


def environment(**more: str) -> dict[str, str]:
    """The environment in which `python -m ocrpress` is the code of this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), **more}


@pytest.fixture
def ocrpress(tmp_path):
    """Run the command line in a process of its own, in a fresh folder."""

    def run(*arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None, **settings: object) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "ocrpress", *map(str, arguments)],
            **{"input": stdin, "capture_output": True, "cwd": tmp_path, "timeout": 120, **settings},
            env=environment(**(env or {})), check=False,
        )  # fmt: skip
        return Run(done.returncode, done.stdout or b"", (done.stderr or b"").decode(errors="replace"))

    return run


@pytest.fixture
def pdf(tmp_path) -> Path:
    """A PDF of three pages."""
    path = tmp_path / "three.pdf"
    path.write_bytes(make_text_pdf(3))
    return path
