"""Finding documents: every file once, nothing raised, the first before the rest is looked at."""

from __future__ import annotations

import errno
import io
import os
import random
import socket
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocrpress.errors import InputError, UsageError
from ocrpress.jobs.finding.search import Choice, Found, LeftOut, find, read_list

ALL = Choice()


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def search(*inputs, choice=ALL, listed=()):
    items = list(find([str(path) for path in inputs], choice, [str(path) for path in listed]))
    found = [item for item in items if isinstance(item, Found)]
    for document in found:
        assert Path(document.path).is_absolute()
        assert Path(document.path).is_file()
        assert not {"", ".", ".."} & set(document.name.split("/"))
    assert len({document.name for document in found}) == len(found)
    return found, [item for item in items if isinstance(item, LeftOut)]


def names(*inputs, **more):
    found, left = search(*inputs, **more)
    assert left == []
    return [document.name for document in found]


# Folders


def test_a_folder_gives_its_pdfs_and_images_files_first_in_order(tmp_path):
    make(tmp_path, "b.pdf", "a.PNG", "sub/c.tiff", "sub/deep/d.jpeg", "notes.txt", "x.docx", "z.pdf", "Makefile")
    assert names(tmp_path) == ["a.PNG", "b.pdf", "z.pdf", "sub/c.tiff", "sub/deep/d.jpeg"]


def test_an_empty_folder_gives_nothing(tmp_path):
    assert names(tmp_path) == []


def test_what_is_hidden_is_left_unless_it_is_named(tmp_path):
    make(tmp_path, ".x.pdf", ".git/y.pdf", "a/.z.pdf", "b.pdf")
    assert names(tmp_path) == ["b.pdf"]
    assert names(tmp_path / ".git") == ["y.pdf"]
    assert names(tmp_path / ".x.pdf", tmp_path / "b.pdf") == [".x.pdf", "b.pdf"]
    assert names(tmp_path / ".*.pdf") == [".x.pdf"]


def test_the_first_document_comes_before_the_rest_of_the_tree_is_looked_at(tmp_path, monkeypatch):
    make(tmp_path, "a.pdf", *(f"sub{number}/x.pdf" for number in range(20)))
    opened = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or real(path))
    stream = find([str(tmp_path)], ALL)
    assert next(stream).name == "a.pdf"
    assert opened == [str(tmp_path)]
    assert next(stream).name == "sub0/x.pdf"
    assert len(opened) == 2


def test_documents_that_share_a_stem_are_crowded(tmp_path):
    make(tmp_path, "x.pdf", "X.png", "y.pdf", "y.txt", "sub/x.pdf", "straße.pdf", "STRASSE.png")
    found, _ = search(tmp_path)
    assert {document.name for document in found if document.crowded} == {"x.pdf", "X.png", "straße.pdf", "STRASSE.png"}


def test_names_may_hold_any_bytes(tmp_path):
    hard = [
        b"new\nline.pdf",
        b" two  spaces .pdf",
        b"caf\xe9.pdf",
        b"x" * 251 + b".pdf",
        b"-rf.pdf",
        b"[1].pdf",
        b"\x01.pdf",
    ]
    folder = tmp_path / os.fsdecode(b"\xff\n")
    make(folder, *map(os.fsdecode, hard))
    assert [os.fsencode(name) for name in names(tmp_path)] == sorted(b"\xff\n/" + name for name in hard)
    for name in hard:
        assert names(folder / os.fsdecode(name)) == [os.fsdecode(name)]


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path, monkeypatch):
    depth = 1100
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("x.pdf").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    found = names(tmp_path)
    os.chdir(tmp_path / ("d/" * depth))
    Path("x.pdf").unlink()
    for _ in range(depth):  # pytest could not remove it
        os.chdir("..")
        Path("d").rmdir()
    assert found == ["d/" * depth + "x.pdf"]


def test_a_path_that_is_too_long_to_open_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "a.pdf")
    for _ in range(20):
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    monkeypatch.chdir(tmp_path)
    found, left = search(tmp_path)
    assert [document.name for document in found] == ["a.pdf"]
    assert [item.why for item in left] == ["its name or path is too long"]


def test_skipped_folders_are_never_entered(tmp_path):
    make(tmp_path, "x.pdf", "out/figure.png", "sub/y.pdf")
    (tmp_path / "sub/again").symlink_to(tmp_path / "out")
    choice = Choice(skip=(str(tmp_path / "out"), str(tmp_path / "not-made-yet")))
    assert names(tmp_path, choice=choice) == ["x.pdf", "sub/y.pdf"]
    make(tmp_path, "not-made-yet/z.pdf")
    assert names(tmp_path, choice=choice) == ["x.pdf", "sub/y.pdf"]


def test_the_folder_of_the_results_as_an_input_is_refused(tmp_path):
    make(tmp_path, "x.pdf")
    found, left = search(tmp_path, choice=Choice(skip=(str(tmp_path),)))
    assert found == []
    assert left == [LeftOut(str(tmp_path), "the results go there")]


# What the user chooses


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["*.txt"], ["n.txt", "sub/n.TXT"]),
        (["*"], ["a.pdf", "n.txt", "z.zip", "sub/b.PDF", "sub/n.TXT", "sub/deep/c.pdf"]),
        (["sub"], ["sub/b.PDF", "sub/deep/c.pdf"]),
        (["SUB/"], ["sub/b.PDF", "sub/deep/c.pdf"]),
        (["/a.pdf"], ["a.pdf"]),
        (["sub/*.pdf"], ["sub/b.PDF"]),
        (["sub/**/*.pdf"], ["sub/b.PDF", "sub/deep/c.pdf"]),
        (["**/deep/*"], ["sub/deep/c.pdf"]),
        (["sub/**"], ["sub/b.PDF", "sub/n.TXT", "sub/deep/c.pdf"]),
        (["[ab].pdf", "?.zip"], ["a.pdf", "z.zip", "sub/b.PDF"]),
        (["[!a].pdf"], ["sub/b.PDF", "sub/deep/c.pdf"]),
        (["nothing"], []),
        (["[", "a.pdf/"], []),
    ],
)
def test_include_takes_what_matches(tmp_path, include, expected):
    make(tmp_path, "a.pdf", "n.txt", "z.zip", "sub/b.PDF", "sub/n.TXT", "sub/deep/c.pdf", ".hidden.txt")
    assert names(tmp_path, choice=Choice(include=tuple(include))) == expected


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*draft*"], ["a.pdf", "sub/b.pdf", "sub/deep/c.pdf"]),
        (["sub"], ["a.pdf", "Draft.pdf"]),
        (["sub/"], ["a.pdf", "Draft.pdf"]),
        (["a.pdf/"], ["a.pdf", "Draft.pdf", "sub/b.pdf", "sub/deep/c.pdf"]),
        (["sub/*.pdf"], ["a.pdf", "Draft.pdf", "sub/deep/c.pdf"]),
        (["sub/*"], ["a.pdf", "Draft.pdf"]),
        (["**/deep/**", "a*"], ["Draft.pdf", "sub/b.pdf"]),
        (["*"], []),
    ],
)
def test_exclude_leaves_what_matches_and_what_is_below(tmp_path, exclude, expected):
    make(tmp_path, "a.pdf", "Draft.pdf", "sub/b.pdf", "sub/deep/c.pdf")
    found, _ = search(tmp_path, choice=Choice(exclude=tuple(exclude)))
    assert sorted(document.name for document in found) == sorted(expected)


def test_exclude_wins_over_include_and_over_being_named(tmp_path):
    make(tmp_path, "a.pdf", "draft.pdf", "drafts/b.pdf")
    choice = Choice(include=("*.pdf",), exclude=("draft*",))
    assert names(tmp_path, choice=choice) == ["a.pdf"]
    assert names(tmp_path / "a.pdf", tmp_path / "draft.pdf", choice=choice) == ["a.pdf"]
    assert names(tmp_path / "*.pdf", choice=choice) == ["a.pdf"]
    found, left = search(tmp_path / "drafts", choice=choice)
    assert (found, left) == ([], [LeftOut(str(tmp_path / "drafts"), "it is excluded", lost=False)])
    listed = [tmp_path / "draft.pdf", tmp_path / "drafts", tmp_path / "drafts/b.pdf", tmp_path / "a.pdf"]
    assert [Path(name).name for name in names(choice=choice, listed=listed)] == ["a.pdf"]


def test_what_is_named_needs_no_include_and_no_ending(tmp_path):
    make(tmp_path, "notes.txt", "README", "x.pdf")
    choice = Choice(include=("*.pdf",))
    assert names(tmp_path / "notes.txt", tmp_path / "README", choice=choice) == ["notes.txt", "README"]


@pytest.mark.parametrize("pattern", ["", "/"])
def test_an_empty_pattern_is_refused(pattern):
    with pytest.raises(UsageError, match="an empty pattern to exclude"):
        Choice(exclude=("*.pdf", pattern))


# Several inputs


def test_names_of_several_folders_begin_with_the_folders_own_told_apart(tmp_path):
    make(tmp_path, "1/in/x.pdf", "2/in/x.pdf", "3/y.pdf")
    inputs = tmp_path / "1/in", f"{tmp_path}/2/in/", tmp_path / "3"
    assert names(*inputs) == ["in/x.pdf", "in-2/x.pdf", "3/y.pdf"]


def test_a_folder_is_called_by_its_own_name_however_it_is_written(tmp_path, monkeypatch):
    make(tmp_path, "in/sub/x.pdf", "other/y.pdf")
    monkeypatch.chdir(tmp_path / "in")
    assert names(".", "../other/.") == ["in/sub/x.pdf", "other/y.pdf"]
    assert names("sub/..", "../other") == ["in/sub/x.pdf", "other/y.pdf"]
    assert names("sub//") == ["x.pdf"]


def test_named_files_keep_their_names_told_apart(tmp_path):
    make(tmp_path, "a/x.pdf", "b/x.pdf", "b/y.txt", "c/Y.png", "c/z.pdf")
    found, left = search(*(tmp_path / name for name in ("a/x.pdf", "b/x.pdf", "b/y.txt", "c/Y.png", "c/z.pdf")))
    assert left == []
    assert [document.name for document in found] == ["x.pdf", "x-2.pdf", "y.txt", "Y.png", "z.pdf"]
    assert [document.crowded for document in found] == [True, True, True, True, False]


def test_a_file_named_through_dots_is_called_by_the_name_that_was_given(tmp_path, monkeypatch):
    make(tmp_path, "store/0001", "in/sub/z.pdf")
    (tmp_path / "x.pdf").symlink_to(tmp_path / "store/0001")
    (tmp_path / "way").symlink_to(tmp_path / "in/sub")
    monkeypatch.chdir(tmp_path / "in")
    assert names("../x.pdf") == ["x.pdf"]
    found, _ = search("../way/../sub/z.pdf")  # ".." of a link is what it leads to, not what it lies in
    assert found[0].path == str(tmp_path / "in/sub/z.pdf")


def test_a_file_that_is_named_twice_or_also_lies_in_an_input_comes_once(tmp_path):
    make(tmp_path, "in/a.pdf", "in/b.pdf", "in/notes.txt")
    folder = tmp_path / "in"
    assert names(folder / "a.pdf", folder / "a.pdf", f"{tmp_path}/./in//a.pdf") == ["a.pdf"]
    assert names(folder / "a.pdf", folder) == ["a.pdf", "in/b.pdf"]
    assert names(folder, folder / "a.pdf", folder / "notes.txt") == ["in/a.pdf", "in/b.pdf", "notes.txt"]


def test_a_folder_inside_another_input_is_walked_once(tmp_path):
    make(tmp_path, "in/a.pdf", "in/sub/b.pdf")
    for inputs, expected in (
        (("in", "in/sub"), ["in/a.pdf", "in/sub/b.pdf"]),
        (("in/sub", "in"), ["sub/b.pdf", "in/a.pdf"]),
    ):
        found, left = search(*(tmp_path / path for path in inputs))
        assert [document.name for document in found] == expected
        assert [(item.path, item.lost) for item in left] == [(str(tmp_path / "in/sub"), False)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nothing.pdf", "it does not exist"),
        ("x.pdf/y.pdf", "it does not exist"),
        ("", "it does not exist"),
        ("no\0name", "no file can have such a name"),
        ("\ud800", "no file can have such a name"),
        ("x" * 300, "its name or path is too long"),
        ("loop", "a link that leads to itself"),
        ("no*.pdf", "nothing matches it"),
        ("nowhere/**/*.pdf", "nothing matches it"),
        ("x.pdf/*", "nothing matches it"),
        ("[", "nothing matches it"),
    ],
)
def test_an_input_that_is_not_there_is_left_out_and_the_next_one_found(tmp_path, monkeypatch, path, why):
    make(tmp_path, "x.pdf")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    found, left = search(path, "x.pdf")
    assert [document.name for document in found] == ["x.pdf"]
    assert left == [LeftOut(path, why)]


def test_inputs_are_found_even_if_the_current_folder_is_gone(tmp_path, monkeypatch):
    make(tmp_path, "x.pdf", "gone/y.pdf")
    monkeypatch.chdir(tmp_path / "gone")
    Path("y.pdf").unlink()
    (tmp_path / "gone").rmdir()
    found, left = search(tmp_path / "x.pdf", "y.pdf", "*.pdf", ".")
    assert [document.name for document in found] == ["x.pdf"]
    assert [item.path for item in left] == ["y.pdf", "*.pdf", "."]


def test_many_files_of_one_name_are_told_apart_in_a_moment(tmp_path):
    make(tmp_path, *(f"{number}/scan.pdf" for number in range(1000)), "scan-7.pdf")
    inputs = [tmp_path / "scan-7.pdf", *(tmp_path / f"{number}/scan.pdf" for number in range(1000))]
    start = time.process_time()
    found = names(*inputs)
    assert time.process_time() - start < 1
    assert found[:3] == ["scan-7.pdf", "scan.pdf", "scan-2.pdf"]
    assert found[-1] == "scan-1001.pdf"


# Patterns among the inputs


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.pdf", ["a.pdf"]),
        ("in/*.pdf", ["b.pdf"]),
        ("in/**/*.pdf", ["b.pdf", "old/d.pdf", "old/new/e.pdf"]),
        ("in/**", ["b.pdf", "old/d.pdf", "old/new/e.pdf"]),
        ("**/*.txt", ["in/c.txt"]),
        ("in/*", ["b.pdf", "c.txt", "old/d.pdf", "old/new/e.pdf"]),
        ("in/*/", ["old/d.pdf", "old/new/e.pdf"]),
        ("*/old/?.pdf", ["in/old/d.pdf"]),
        ("**/new", ["in/old/new/e.pdf"]),
        ("**/**/e.*", ["in/old/new/e.pdf"]),
        ("./in/[bc].*", ["b.pdf", "c.txt"]),
        ("in/.h*", [".hidden/f.pdf"]),
    ],
)
def test_a_pattern_that_the_shell_has_left_is_expanded(tmp_path, monkeypatch, pattern, expected):
    make(tmp_path, "a.pdf", "in/b.pdf", "in/c.txt", "in/old/d.pdf", "in/old/new/e.pdf", "in/.hidden/f.pdf")
    monkeypatch.chdir(tmp_path)
    assert names(pattern) == expected
    assert names(f"{tmp_path}/{pattern}") == expected


def test_a_pattern_is_streamed_and_looks_only_where_it_can_match(tmp_path, monkeypatch):
    make(tmp_path, "in/a1/x.pdf", "in/a2/x.pdf", "in/b/x.pdf")
    opened = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(str(path)) or real(path))
    stream = find([f"{tmp_path}/in/a*/*.pdf"], ALL)
    assert next(stream).name == "a1/x.pdf"
    assert len(opened) == 2
    assert [item.name for item in stream] == ["a2/x.pdf"]
    assert not any(path.endswith("/b") for path in opened)


def test_a_file_of_the_name_of_a_pattern_is_that_file(tmp_path):
    make(tmp_path, "x[1].pdf", "x1.pdf")
    assert names(tmp_path / "x[1].pdf") == ["x[1].pdf"]


def test_patterns_and_folders_together_give_every_file_once(tmp_path):
    make(tmp_path, "in/a.pdf", "in/sub/b.pdf", "in/n.txt")
    assert names(tmp_path / "in/*.pdf", tmp_path / "in") == ["in/a.pdf", "in-2/sub/b.pdf"]
    assert names(tmp_path / "in", tmp_path / "in/**/*.*") == ["in/a.pdf", "in/sub/b.pdf", "in-2/n.txt"]


def test_a_pattern_all_of_which_is_excluded_has_matched(tmp_path):
    make(tmp_path, "a.pdf")
    assert names(tmp_path / "*.pdf", choice=Choice(exclude=("a.*",))) == []


# Links


def test_a_link_to_a_file_elsewhere_is_a_document_once(tmp_path):
    make(tmp_path, "store/0001", "in/a.pdf")
    for link in ("in/b.pdf", "in/sub/c.pdf"):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / "store/0001")
    found, left = search(tmp_path / "in")
    assert [document.name for document in found] == ["a.pdf", "b.pdf"]
    assert [(item.path, item.lost) for item in left] == [(str(tmp_path / "in/sub/c.pdf"), False)]


def test_a_document_keeps_its_own_name_whatever_links_there_are_to_it(tmp_path):
    make(tmp_path, "sub/x.pdf", "v2/z.pdf")
    (tmp_path / "a-link.pdf").symlink_to("sub/x.pdf")
    (tmp_path / "current").symlink_to("v2")
    found, left = search(tmp_path)
    assert [document.name for document in found] == ["sub/x.pdf", "v2/z.pdf"]
    assert {Path(item.path).name for item in left} == {"a-link.pdf", "current"}
    assert not any(item.lost for item in left)


def test_a_link_to_what_is_otherwise_left_is_a_document(tmp_path):
    make(tmp_path, ".store/0001", "out/y.pdf", "old/z.pdf", "blobs/0002")
    links = {"a.pdf": ".store/0001", "b.pdf": "old/z.pdf", "c.pdf": "blobs/0002"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    assert sorted(names(tmp_path, choice=Choice(exclude=("old",), skip=(str(tmp_path / "out"),)))) == sorted(links)


def test_hard_links_are_files_of_their_own(tmp_path):
    make(tmp_path, "a.pdf")
    os.link(tmp_path / "a.pdf", tmp_path / "b.pdf")
    assert names(tmp_path) == ["a.pdf", "b.pdf"]


def test_loops_of_links_end_and_lose_nothing(tmp_path):
    make(tmp_path, "a/b/x.pdf")
    (tmp_path / "a/b/up").symlink_to("..")
    (tmp_path / "a/b/here").symlink_to(".")
    (tmp_path / "a/root").symlink_to(tmp_path)
    found, left = search(tmp_path)
    assert [document.name for document in found] == ["a/b/x.pdf"]
    assert {Path(item.path).name for item in left} == {"up", "here", "root"}
    assert {(item.why, item.lost) for item in left} == {("it leads back to a folder that it lies in", False)}
    assert names(tmp_path / "**/*.pdf") == ["a/b/x.pdf"]


def test_two_folders_that_link_to_each_other_are_walked_once(tmp_path):
    make(tmp_path, "in/a/x.pdf", "other/y.pdf")
    (tmp_path / "in/a/there").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(tmp_path / "in/a")
    found, left = search(tmp_path / "in")
    assert [document.name for document in found] == ["a/x.pdf", "a/there/y.pdf"]
    assert [item.lost for item in left] == [False]


def test_links_that_lead_nowhere_are_named_if_they_could_matter(tmp_path):
    (tmp_path / "x.pdf").symlink_to("gone.pdf")
    (tmp_path / "scans").symlink_to("/not/mounted")
    (tmp_path / "notes.txt").symlink_to("gone.txt")
    (tmp_path / "self.pdf").symlink_to("self.pdf")
    (tmp_path / ".lock").symlink_to("12345")
    found, left = search(tmp_path)
    assert found == []
    assert {Path(item.path).name: item.why for item in left} == {
        "x.pdf": "a link to nothing", "scans": "a link to nothing", "self.pdf": "a link that leads to itself",
    }  # fmt: skip


def test_a_file_system_without_inodes_is_walked_by_real_paths(tmp_path, monkeypatch):
    make(tmp_path, "a/x.pdf", "b/y.pdf")
    (tmp_path / "a/up").symlink_to("..")
    real = os.stat

    def numberless(path, **more):
        found = real(path, **more)
        return os.stat_result((found.st_mode, 0, found.st_dev, *tuple(found)[3:]))

    monkeypatch.setattr(os, "stat", numberless)
    found, left = search(tmp_path)
    assert [document.name for document in found] == ["a/x.pdf", "b/y.pdf"]
    assert [Path(item.path).name for item in left] == ["up"]


# Trouble


def test_a_socket_or_a_pipe_under_the_name_of_a_document_is_left_out(tmp_path, monkeypatch):
    make(tmp_path, "b.pdf")
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a.pdf")
    os.mkfifo("other")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("c.pdf")
        found, left = search(tmp_path)
        assert [document.name for document in found] == ["b.pdf"]
        assert [(Path(item.path).name, item.why) for item in left] == [
            ("a.pdf", "a named pipe, not a file"), ("c.pdf", "a socket, not a file"),
        ]  # fmt: skip
        assert search("other") == ([], [LeftOut("other", "a named pipe, not a file")])
        assert search(listed=["c.pdf"]) == ([], [LeftOut("c.pdf", "a socket, not a file")])
    assert search("/dev/null") == ([], [LeftOut("/dev/null", "a device, not a file")])


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EACCES, "it may not be read"),
        (errno.ENOENT, "it has vanished"),
        (errno.EIO, "it cannot be read (Input/output error)"),
    ],
)
def test_a_folder_that_cannot_be_listed_costs_that_folder(tmp_path, monkeypatch, number, why):
    make(tmp_path, "a.pdf", "bad/b.pdf", "good/c.pdf")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("/bad"):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, left = search(tmp_path)
    assert [document.name for document in found] == ["a.pdf", "good/c.pdf"]
    assert left == [LeftOut(str(tmp_path / "bad"), why)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permissions_is_named(tmp_path):
    make(tmp_path, "a.pdf", "bad/b.pdf")
    (tmp_path / "bad").chmod(0)
    found, left = search(tmp_path)
    (tmp_path / "bad").chmod(0o700)
    assert [document.name for document in found] == ["a.pdf"]
    assert left == [LeftOut(str(tmp_path / "bad"), "it may not be read")]


def test_a_folder_that_breaks_off_while_it_is_listed_keeps_what_came(tmp_path, monkeypatch):
    make(tmp_path, "a.pdf", "b.pdf", "c.pdf", "sub/d.pdf")
    real = os.scandir

    class Breaking:
        def __init__(self, path):
            self.inner = real(path)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.inner.close()

        def __iter__(self):
            yield next(self.inner)
            yield next(self.inner)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "scandir", lambda path: Breaking(path) if path == str(tmp_path) else real(path))
    found, left = search(tmp_path)
    assert 1 <= len(found) <= 2
    assert left == [LeftOut(str(tmp_path), f"it cannot be read ({os.strerror(errno.ESTALE)})")]


def test_a_folder_that_vanishes_during_the_walk_costs_that_folder(tmp_path):
    make(tmp_path, "a.pdf", "b/x.pdf", "c/y.pdf")
    stream = find([str(tmp_path)], ALL)
    assert next(stream).name == "a.pdf"
    (tmp_path / "b/x.pdf").unlink()
    (tmp_path / "b").rmdir()
    assert list(stream) == [
        LeftOut(str(tmp_path / "b"), "it has vanished"),
        Found(str(tmp_path / "c/y.pdf"), "c/y.pdf"),
    ]


def test_an_unreadable_folder_found_again_by_another_way_is_tried_again(tmp_path, monkeypatch):
    make(tmp_path, "in/x.pdf", "in/sub/y.pdf")
    real, failures = os.scandir, []

    def scandir(path):
        if str(path).endswith("/sub") and not failures:
            failures.append(path)
            raise PermissionError(errno.EACCES, "no", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, left = search(tmp_path / "in", tmp_path / "in/sub")
    assert [document.name for document in found] == ["in/x.pdf", "sub/y.pdf"]
    assert len(left) == 1


# Lists


def test_listed_files_are_named_by_their_path(tmp_path, monkeypatch):
    make(tmp_path, "a/x.pdf", "a/n.txt", "b/y.pdf")
    monkeypatch.chdir(tmp_path / "a")
    top = str(tmp_path).strip("/")
    assert names(listed=["x.pdf", "./n.txt", "../b//y.pdf"]) == ["x.pdf", "n.txt", "b/y.pdf"]
    assert names(listed=[tmp_path / "a/x.pdf"]) == [f"{top}/a/x.pdf"]


def test_listed_names_are_told_apart_and_files_come_once(tmp_path, monkeypatch):
    make(tmp_path, "x.pdf", "a/x.pdf", "a/a/x.pdf")
    monkeypatch.chdir(tmp_path / "a")
    listed = ["x.pdf", "../x.pdf", "./x.pdf", "a/x.pdf", "../a/a/x.pdf", "../a/x.pdf"]
    found, left = search(listed=listed)
    assert left == []
    assert [document.name for document in found] == ["x.pdf", "x-2.pdf", "a/x.pdf"]


def test_a_listed_folder_is_walked(tmp_path, monkeypatch):
    make(tmp_path, "a/x.pdf", "a/sub/y.pdf", "a/n.txt", "b/a/x.pdf")
    monkeypatch.chdir(tmp_path)
    assert names(listed=["a"]) == ["a/x.pdf", "a/sub/y.pdf"]
    monkeypatch.chdir(tmp_path / "b")
    assert names(listed=["a/x.pdf", "../a"]) == ["a/x.pdf", "a/x-2.pdf", "a/sub/y.pdf"]
    found, left = search(listed=["..", ".", tmp_path])
    assert [document.name for document in found] == ["a/x.pdf", "a/sub/y.pdf", "b/a/x.pdf"]
    assert {(item.why, item.lost) for item in left} == {("it is read already", False)}
    (tmp_path / "way").symlink_to("a")
    found, left = search(tmp_path / "a", tmp_path / "way")
    assert left == [LeftOut(str(tmp_path / "way"), f"it is read already as {tmp_path}/a", lost=False)]


def test_inputs_and_a_list_together_have_no_name_in_common(tmp_path, monkeypatch):
    make(tmp_path, "1/in/x.pdf", "2/in/x.pdf", "2/in/y.pdf")
    monkeypatch.chdir(tmp_path / "2")
    assert names(tmp_path / "1/in", listed=["in/x.pdf", "in", tmp_path / "1/in/x.pdf"]) == [
        "in/x.pdf", "in-2/x.pdf", "in-2/y.pdf",
    ]  # fmt: skip
    assert names(tmp_path / "1/in", listed=[]) == ["x.pdf"]


def test_what_is_listed_and_not_there_is_left_out(tmp_path, monkeypatch):
    make(tmp_path, "x.pdf")
    monkeypatch.chdir(tmp_path)
    found, left = search(listed=["gone.pdf", "x.pdf", "*.pdf", "no\0name", "y" * 9000])
    assert [document.name for document in found] == ["x.pdf"]
    assert [item.path for item in left] == ["gone.pdf", "*.pdf", "no\0name", "y" * 9000]


def test_a_list_is_read_as_it_comes(tmp_path):
    make(tmp_path, "x.pdf", "y.pdf")

    def endless():
        yield str(tmp_path / "x.pdf")
        yield str(tmp_path / "y.pdf")
        raise AssertionError("read too far")

    stream = find([], ALL, endless())
    assert next(stream).path == str(tmp_path / "x.pdf")
    assert next(stream).path == str(tmp_path / "y.pdf")


@pytest.mark.parametrize(
    ("data", "null", "expected"),
    [
        (b"", False, []),
        (b"a.pdf\nb.pdf", False, ["a.pdf", "b.pdf"]),
        (b"\n\n  \na b.pdf\n\n", False, ["a b.pdf"]),
        (b"\xef\xbb\xbfa.pdf\r\nb.pdf\r\n\r\n", False, ["a.pdf", "b.pdf"]),
        (b"caf\xe9.pdf\n", False, ["caf\udce9.pdf"]),
        (b" a.pdf \n", False, [" a.pdf "]),
        (b"a\nb.pdf\0\0 \0c.pdf\r\0", True, ["a\nb.pdf", " ", "c.pdf\r"]),
        (b"a\0b.pdf\n", False, ["a\0b.pdf"]),
    ],
)
def test_a_list_gives_its_paths_whatever_their_bytes(data, null, expected):
    assert list(read_list(io.BytesIO(data), null)) == expected

    drops = iter([*(data[at : at + 1] for at in range(len(data))), b""])
    assert list(read_list(SimpleNamespace(read=lambda count: next(drops)), null)) == expected


def test_the_first_path_comes_before_a_slow_list_ends():
    reading, writing = os.pipe()
    os.write(writing, b"a.pdf\nb.pdf\nhalf")
    with os.fdopen(reading, "rb") as stream:
        paths = read_list(stream)
        assert [next(paths), next(paths)] == ["a.pdf", "b.pdf"]
        os.write(writing, b" of it.pdf")
        os.close(writing)
        assert list(paths) == ["half of it.pdf"]


def test_something_without_lines_is_no_list_and_fills_no_memory():
    chunks = iter([*[b"\xff" * 60_000] * 2000, b""])
    tracemalloc.start()
    paths = list(read_list(SimpleNamespace(read=lambda count: next(chunks))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(path) for path in paths] == [8192]
    assert peak < 2_000_000


def test_a_list_that_breaks_off_says_so():
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as stream, pytest.raises(InputError, match="the list cannot be read"):
        os.dup2(os.open("/", os.O_RDONLY), reading)
        list(read_list(stream))


# All of it


@pytest.mark.parametrize("seed", range(25))
def test_random_trees_with_links_give_every_reachable_document_once(tmp_path, seed):
    rng = random.Random(seed)
    root = tmp_path / "in"
    folders = [root, tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    files = []
    for number in range(60):
        folder = rng.choice(folders)
        path = folder / f"{rng.choice('abcdé')}{number}{rng.choice(['', '.pdf', '.png', '.txt'])}"
        kind = rng.random()
        if kind < 0.3:
            path.mkdir()
            folders.append(path)
        elif kind < 0.6 or not files:
            path.write_bytes(b"")
            files.append(path)
        elif kind < 0.75:
            path.symlink_to(rng.choice(files))
        else:
            path.symlink_to(rng.choice(folders))
    expected = reachable(root)
    for inputs in ([root], [root, rng.choice(folders)], [rng.choice(files), root], [f"{root}/**/*.pdf", root]):
        found, left = search(*inputs)
        real = [os.path.realpath(document.path) for document in found]
        assert len(set(real)) == len(real)
        assert expected <= set(real)
        assert not any(item.lost for item in left if item.why != "nothing matches it")
        assert search(*inputs) == (found, left)
    assert {os.path.realpath(document.path) for document in search(root)[0]} == expected


def reachable(root: Path) -> set[str]:
    """The plain way: real paths of everything that may be reached under the name of a document."""
    found, entered, waiting = set(), set(), [str(root)]
    while waiting:
        folder = os.path.realpath(waiting.pop())
        if folder in entered:
            continue
        entered.add(folder)
        for path in Path(folder).iterdir():
            if path.is_dir():
                waiting.append(str(path))
            elif path.suffix in {".pdf", ".png"}:
                found.add(os.path.realpath(path))
    return found


def test_memory_is_bounded_by_a_folders_listing(tmp_path):
    make(tmp_path, *(f"{folder:03}/{number}.pdf" for folder in range(200) for number in range(10)))

    def peak(inputs):
        tracemalloc.start()
        count = sum(1 for _ in find(inputs, ALL))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, size

    few, many = peak([str(tmp_path / f"{folder:03}") for folder in range(20)]), peak([str(tmp_path)])
    assert (few[0], many[0]) == (200, 2000)
    assert many[1] - few[1] < 200 * 1500


def test_five_thousand_files_are_found_in_a_moment(tmp_path):
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for number in range(500):
            os.close(os.open(tmp_path / str(folder) / f"{number}.pdf", os.O_CREAT | os.O_WRONLY))
    start = time.process_time()
    assert sum(1 for _ in find([str(tmp_path)], ALL)) == 5000
    assert time.process_time() - start < 0.5
