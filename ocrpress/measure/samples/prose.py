"""English prose that every Python carries: its language reference (pydoc_data) and docstrings of its standard library.

Only paragraphs of sentences are taken: no headings, code, grammar, tables or lists of names. Models may know this text
by heart, as they may any text: the variants tell how much of it they guess.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrpress.errors import InputError

FEWEST_WORDS = 25  # of a paragraph; shorter ones are mostly entries of lists
LONGEST_WORD = 40
MOST_CODE = 0.1  # of the words: those with signs that prose has not
FEWEST_SMALL_WORDS = 0.25  # of the words: "the", "of", …; lists of names have none

# Modules with the most prose in their docstrings; one that a Python does not have is passed over.
_MODULES = """
_pydecimal argparse ast asyncio/base_events asyncio/locks asyncio/streams asyncio/tasks bdb calendar code codecs
collections/__init__ concurrent/futures/_base configparser contextlib csv dataclasses difflib doctest email/header
email/message email/_policybase enum fileinput fractions ftplib functools gettext gzip heapq http/client http/cookiejar
http/server imaplib importlib/_bootstrap_external inspect json/encoder logging/__init__ logging/handlers
multiprocessing/pool optparse os pathlib pathlib/__init__ pathlib/_local pickle pkgutil platform pprint profile
random sched shutil smtplib socket socketserver ssl statistics string subprocess tarfile tempfile textwrap threading
timeit traceback typing unittest/case unittest/mock urllib/parse urllib/request weakref xmlrpc/server zipfile
zipfile/__init__
"""
_SMALL_WORDS = """
a an and are as at be but by can for from has have if in is it may not of on or that the this to was when which will
with
"""
_SMALL = frozenset(_SMALL_WORDS.split())
_BULLET = re.compile(r"\s*(?:[*-]|\d+\.|[a-z]\.|\(\d+\))\s+")
_SENTENCES = re.compile(r"[\"“‘(]?[A-Z].*[.!?][)\"”’]?")
_HYPHEN_AT_END = re.compile(r"(?<=\w-)\n\s*(?=\w)")
_NO_PROSE = re.compile(r">>>|::=|\.\.\.\s")
_CODE = re.compile(r"[_\[\]{}=<>@\\|/*`^~#$%&+]|\(\)|\w\.\w")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,2}|`{1,2})(?=\S)([^*`]+)(?<=\S)\1(?!\w)")


@dataclass(frozen=True)
class Prose:
    """A corpus.

    Attributes:
        text: paragraphs parted by blank lines, each on one line and none twice.
        about: what it is, with the Python version and eight digits that change when the text does.
    """

    text: str
    about: str


def builtin_prose(characters: int) -> Prose:
    """Prose of about so many characters: all of the language reference, and docstrings where that is too little.

    There are some 170,000 characters in the language reference, and 230,000 more in docstrings.

    Raises:
        InputError: this Python has been stripped of its documentation.
    """
    found = dict.fromkeys(paragraph for text in _topics() for paragraph in paragraphs(text))
    what = "language reference"
    if sum(map(len, found)) < characters:
        found.update(dict.fromkeys(paragraph for text in _docstrings() for paragraph in paragraphs(text)))
        what += " and docstrings"
    if not found:
        raise InputError("this Python carries no prose (its documentation is missing)", "give text files as DATA")
    text = "\n\n".join(found)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Prose(text, f"prose of Python {platform.python_version()}'s {what} ({digest})")


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of prose in plain reStructuredText or a docstring, each on one line, without marks of emphasis."""
    for block in re.split(r"\n\s*\n", text.expandtabs()):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        if bullet := _BULLET.match(lines[0]):
            lines[0] = " " * len(bullet[0]) + lines[0][len(bullet[0]) :]
        elif len(lines) > 2 and _indent(lines[1]) > _indent(lines[0]):
            del lines[0]  # a term above its definition
        if len({_indent(line) for line in lines}) == 1:  # else it is a table or code
            paragraph = _EMPHASIS.sub(r"\2", " ".join(_HYPHEN_AT_END.sub("", "\n".join(lines)).split()))
            if _is_prose(paragraph):
                yield paragraph


def _is_prose(paragraph: str) -> bool:
    words = paragraph.split()
    return (
        len(words) >= FEWEST_WORDS
        and _SENTENCES.fullmatch(paragraph) is not None
        and not _NO_PROSE.search(paragraph)
        and max(map(len, words)) <= LONGEST_WORD
        and sum(bool(_CODE.search(word)) for word in words) <= MOST_CODE * len(words)
        and sum(word.lower() in _SMALL for word in words) >= FEWEST_SMALL_WORDS * len(words)
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _topics() -> Iterator[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # left out of some small installations
        return
    for name in sorted(topics):
        yield topics[name]


def _docstrings() -> Iterator[str]:
    """Docstrings of the modules, in the order of their source; nothing is imported or run."""
    library = Path(sysconfig.get_path("stdlib"))
    for module in _MODULES.split():
        try:
            tree = ast.parse((library / f"{module}.py").read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
