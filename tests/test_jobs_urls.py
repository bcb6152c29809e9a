"""Files and trees behind URLs: found, fetched and put by the rules of paths; and one run at a time on one folder."""

from __future__ import annotations

import json
import time

import fsspec
import pytest
from cluster_tools import recorded
from pdfmaker import make_text_pdf

from ocrpress.document import Attempt, Block, PageResult
from ocrpress.errors import InputError, OutputError, UsageError
from ocrpress.jobs.cluster.records import Record, about_entry, record_file, restore
from ocrpress.jobs.finding.found import Choice, Found, LeftOut
from ocrpress.jobs.ledger.book import open_ledger
from ocrpress.jobs.ledger.finished import Finished
from ocrpress.jobs.ledger.schema import RECORDS
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.jobs.urls.files import (
    file_system,
    get_all,
    get_one,
    is_url,
    joined,
    local_path,
    opened,
    put,
    sizes_below,
    state_of,
)
from ocrpress.jobs.urls.found import check_urls, find_urls
from ocrpress.jobs.urls.out import STALE, UrlLock, UrlOut
from ocrpress.jobs.urls.place import open_place
from ocrpress.sources import SourceOptions, open_source


@pytest.fixture
def store(tmp_path):
    """The URL of an empty store in memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return "memory://bucket"


def names(found):
    return [item.name for item in found if isinstance(item, Found)]


def left_out(found):
    return {item.path: item.why for item in found if isinstance(item, LeftOut)}


# Finding


def fill(store, *files):
    for name in files:
        put(joined(store, name), b"x")


def test_a_tree_is_found_in_the_order_of_paths(store):
    fill(store, "b.pdf", "a.PNG", "z/c.pdf", "sub/deep/d.jpg", "notes.txt", ".hidden.pdf", ".git/e.pdf")
    found = list(find_urls([store], Choice()))
    assert names(found) == ["a.PNG", "b.pdf", "sub/deep/d.jpg", "z/c.pdf"]
    assert [item.path for item in found][:2] == ["memory:///bucket/a.PNG", "memory:///bucket/b.pdf"]


def test_choices_hold_behind_urls_too(store):
    fill(store, "a.pdf", "notes.txt", "old/b.pdf", "out/c.pdf", "x.PDF", "x.png")
    choice = Choice(include=("*.txt", "*.pdf"), exclude=("old/",), skip=(f"{store}/out/", "/out"))
    found = list(find_urls([store], choice))
    assert names(found) == ["a.pdf", "notes.txt", "x.PDF"]
    assert [item.crowded for item in find_urls([store], Choice(exclude=("old/", "out/")))] == [False, True, True]


def test_several_inputs_are_told_apart_and_nothing_comes_twice(store):
    fill(store, "one/in/a.pdf", "two/in/a.pdf", "a.pdf")
    inputs = [f"{store}/one/in", f"{store}/two/in", f"{store}/a.pdf", f"{store}/one/in/a.pdf"]
    assert names(find_urls(inputs, Choice())) == ["in/a.pdf", "in-2/a.pdf", "a.pdf"]


def test_patterns_and_lists_name_urls(store):
    fill(store, "in/a.pdf", "in/b.txt", "in/sub/c.pdf")
    assert names(find_urls([f"{store}/in/*.pdf"], Choice())) == ["a.pdf"]
    assert names(find_urls([f"{store}/i*"], Choice())) == ["in/a.pdf", "in/sub/c.pdf"]
    assert names(find_urls([], Choice(), iter([f"{store}/in/b.txt"]))) == ["bucket/in/b.txt"]


def test_what_is_not_there_is_left_out_and_the_rest_is_found(store):
    fill(store, "in/a.pdf")
    found = list(find_urls([f"{store}/no", f"{store}/in", f"{store}/*.gif"], Choice()))
    assert names(found) == ["in/a.pdf"]
    assert left_out(found) == {f"{store}/no": f"{store}/no does not exist", f"{store}/*.gif": "nothing matches it"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/data", "is a path and other inputs are URLs: give one kind of them"),
        ("nowhere://x", "nowhere://x cannot be reached (Protocol not known: nowhere)"),
    ],
)
def test_inputs_that_cannot_be_are_refused(store, url, words):
    with pytest.raises(UsageError) as caught:
        check_urls([f"{store}/in", url], f"{store}/out")
    assert words in str(caught.value)


def test_results_may_lie_below_their_documents_but_not_among_them(store):
    check_urls([f"{store}/in"], f"{store}/in/out")
    check_urls([f"{store}/in"], f"{store}/i")
    for out in (f"{store}/in", f"{store}/in/", store):
        with pytest.raises(UsageError, match="would lie among documents of memory://bucket/in: choose another place"):
            check_urls([f"{store}/in"], out)


# Files


def test_a_document_behind_a_url_is_read_under_its_name(store):
    put(f"{store}/x.pdf", make_text_pdf(2))
    with opened(f"{store}/x.pdf") as file:
        source = open_source(file, SourceOptions(dpi=30))
    assert (source.name, source.page_count) == (f"{store}/x.pdf", 2)
    assert [page.number for page in source.pages()] == [1, 2]
    source.close()


def test_errors_name_the_url(store):
    with pytest.raises(InputError, match=r"memory://bucket/x\.pdf does not exist"), opened(f"{store}/x.pdf"):
        pass
    put(f"{store}/x.pdf", b"")
    with opened(f"{store}/x.pdf") as file, pytest.raises(InputError, match=r"memory://bucket/x\.pdf is empty"):
        open_source(file)


def test_a_driver_that_fails_in_the_middle_is_an_error_of_ours(store, monkeypatch):
    put(f"{store}/x.pdf", make_text_pdf(1))
    kind = type(fsspec.filesystem("memory").open("/bucket/x.pdf"))
    monkeypatch.setattr(kind, "read", lambda self, count=-1: 1 / 0)
    with opened(f"{store}/x.pdf") as file, pytest.raises(InputError) as caught:
        open_source(file)
    assert str(caught.value).startswith(f"cannot read {store}/x.pdf (division by zero)")


def test_a_write_that_fails_is_an_output_error(store, monkeypatch):
    monkeypatch.setattr(fsspec.filesystem("memory").__class__, "pipe_file", lambda *a, **k: 1 / 0)
    with pytest.raises(OutputError, match="division by zero"):
        put(f"{store}/x", b"x")


def test_a_file_that_is_written_again_is_in_another_state(store):
    put(f"{store}/x.pdf", b"one")
    before = state_of(f"{store}/x.pdf")
    assert state_of(f"{store}/x.pdf") == before
    time.sleep(0.01)
    put(f"{store}/x.pdf", b"two")
    after = state_of(f"{store}/x.pdf")
    assert after[0] == 3
    assert after[2] != before[2]


def test_files_of_a_folder_are_got_in_the_order_of_names(store, tmp_path):
    for folder in (f"{store}/f", str(tmp_path / "f")):
        assert list(get_all(folder, ".b")) == []
        for name in ("2.b", "1.b", "3.c"):
            put(joined(folder, name), name.encode())
        assert list(get_all(folder, ".b")) == [("1.b", b"1.b"), ("2.b", b"2.b")]
    assert sizes_below(store) == {"f/1.b": 3, "f/2.b": 3, "f/3.c": 3}
    assert sizes_below(f"{store}/no") == {}


def test_urls_are_told_from_paths():
    assert [is_url(name) for name in ("s3://b/x", "/x", "x://", "C:/x", "a b://x")] == [True, False, True, False, False]
    assert [local_path(name) for name in ("file:///a/b", "s3://b", "/a")] == ["/a/b", "s3://b", "/a"]
    assert joined("s3://b/", "x", "y") == "s3://b/x/y"
    _, inside = file_system("memory://b/x#y?z.pdf")
    assert inside == "/b/x#y?z.pdf"


# Who writes there


def holder(**more):
    return json.dumps({"host": "elsewhere", "pid": 1, "id": "x", "beat": time.time(), **more}).encode()


def test_a_second_run_is_refused_and_names_the_first(store):
    lock = UrlLock(store)
    with pytest.raises(UsageError, match=r"process \d+ on .* is writing to memory://bucket"):
        UrlLock(store)
    lock.release()
    UrlLock(store).release()


@pytest.mark.parametrize("left", [holder(beat=time.time() - STALE - 1), b"{", b"[]", b"{}", b""])
def test_a_lock_that_nobody_keeps_up_counts_for_nothing(store, left):
    put(f"{store}/.ocrpress/lock", left)
    UrlLock(store).release()


def test_a_lock_of_another_machine_holds_while_it_is_kept_up(store):
    put(f"{store}/.ocrpress/lock", holder())
    with pytest.raises(UsageError, match="process 1 on elsewhere"):
        UrlLock(store)


def test_of_two_that_begin_at_once_one_gives_up(store, monkeypatch):
    import ocrpress.jobs.urls.out as module

    def put_and_lose(path, data):
        put(path, data)
        put(path, holder())

    monkeypatch.setattr(module, "put", put_and_lose)
    with pytest.raises(UsageError, match="elsewhere"):
        UrlLock(store)


# Records, and the ledger that is made of them


def page(number, text="", **more):
    blocks = (Block("paragraph", text, (0, 0, 1, 1)),) if text else ()
    return PageResult(number, "ok" if text else "failed", blocks, 10, 10, engine="fake", mode="tiny", **more)


def about(name="x.pdf", digest="d", **more):
    told = {"name": name, "path": f"/in/{name}", "output": f"{name}.md", "size": 1, "mtime_ns": 2, "digest": digest}
    return {**told, "options": "o", "numbers": "", **more}


class Files:
    """Files of records in a folder, in the order in which they are added, and the ledger that they make."""

    def __init__(self, folder, ledger):
        self.folder, self.ledger, self.count = folder, ledger, 0

    def add(self, *records):
        self.count += 1
        name, data = record_file(f"{self.count:03d}", records)
        put(joined(str(self.folder), name), data)

    def restore(self, written=lambda entry: None):
        restore(self.ledger, str(self.folder), written)
        return self.ledger


@pytest.fixture
def files(tmp_path):
    with open_ledger(tmp_path / "out") as ledger:
        yield Files(tmp_path / "records", ledger)


def texts(ledger, name="x.pdf"):
    return {result.number: result.text for result in ledger.results(ledger.find(name).id)}


def test_what_was_read_is_in_the_ledger_again_and_what_was_not_is_left(files):
    files.add(Record(about(), "1-3", page(1, "one")), Record(about("y.pdf"), "7", page(7, "seven")))
    files.add(Record(about(), "1-3", page(3, "three")))
    ledger = files.restore()
    entry = ledger.find("x.pdf")
    assert (entry.path, entry.output, entry.stamp, entry.options) == ("/in/x.pdf", "x.pdf.md", Stamp(1, 2, "d"), "o")
    assert (entry.state, ledger.left(entry.id), texts(ledger)) == ("open", [2], {1: "one", 3: "three"})
    assert ledger.is_complete(ledger.find("y.pdf").id)
    assert ledger.find("y.pdf").state == "open"  # nobody says that its output was written


def test_a_part_that_was_read_later_completes_its_document(files):
    files.add(Record(about(), "1-3", page(1, "one")))
    files.add(Record(about(numbers="1-3"), "2-3", page(2, "two")), Record(about(numbers="1-3"), "2-3", page(3, "3")))
    ledger = files.restore()
    assert ledger.is_complete(ledger.find("x.pdf").id)


def test_of_two_records_of_a_page_one_counts(files):
    files.add(Record(about(), "1-2", page(1, "one")), Record(about(), "1-2", page(2, "two")))
    files.add(Record(about(), "1-2", page(1, "one")))
    assert texts(files.restore()) == {1: "one", 2: "two"}


def test_a_page_that_failed_and_was_read_later_is_read(files):
    files.add(*(Record(about(), "1-3", page(number)) for number in (1, 2)), Record(about(), "1-3", page(3, "three")))
    files.add(Record(about(), "1-3", page(2, "two")), Record(about(), "1-3", page(1)))
    assert texts(files.restore()) == {1: "", 2: "two", 3: "three"}


def test_a_document_that_changed_or_has_other_options_loses_its_pages(files):
    files.add(Record(about(), "1-2", page(1, "old")))
    files.add(Record(about(digest="e"), "1-2", page(2, "new")))
    assert texts(files.restore()) == {2: "new"}


def test_a_document_that_could_not_be_read_is_failed(files):
    files.add(Record(about(), error="it is no PDF", cause="cannot be opened"))
    entry = files.restore().find("x.pdf")
    assert (entry.state, entry.error, entry.cause) == ("failed", "it is no PDF", "cannot be opened")


def test_a_document_whose_output_was_written_is_done(files):
    line = Finished("x.pdf", "/in", "x.pdf.md", 1, 2, "d", "o", "1", 1, 0, 99, "digest", 0.0, 0.0)
    files.add(Record(about(), "1", page(1, "one")), Record(about("y.pdf"), "1-2", page(1)))
    entry = files.restore(lambda entry: line).find("x.pdf")
    assert (entry.state, entry.output_bytes, entry.output_digest) == ("done", 99, "digest")
    assert files.ledger.find("y.pdf").state == "open"


def test_names_that_are_no_utf_8_come_back(files):
    name = "caf\udce9.pdf"
    error = f"cannot open {name}"
    files.add(Record(about(name), "1", page(1, error=error)))
    ledger = files.restore()
    assert [result.error for result in ledger.results(ledger.find(name).id)] == [error]
    data = [data for _, data in get_all(str(files.folder), ".parquet")]
    assert recorded(data) == {("caf\ufffd.pdf", 1): 1}


def test_records_tell_programs_what_became_of_a_page(files):
    from io import BytesIO

    import pyarrow.parquet as pq

    attempt = Attempt("fake", "tiny", "end", 0.5, "no", output_tokens=7, fault="loop")
    files.add(Record(about(), "1", page(1, error="no", attempts=(attempt,), seconds={"a": 0.5, "b": 1.0})))
    ((_, data),) = get_all(str(files.folder), ".parquet")
    (row,) = pq.read_table(BytesIO(data)).to_pylist()
    told = {name: row[name] for name in ("name", "number", "status", "engine", "output_tokens", "seconds", "error")}
    assert told == {
        "name": "x.pdf", "number": 1, "status": "failed", "engine": "fake", "output_tokens": 7, "seconds": 1.5,
        "error": "no",
    }  # fmt: skip


def test_a_damaged_file_of_records_is_named(files):
    put(joined(str(files.folder), "1.parquet"), b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"1\.parquet is damaged .*: remove it: its pages are read again"):
        files.restore()


def test_the_same_pages_make_the_same_file(files):
    records = [Record(about(), "1", page(1, "one"))]
    assert record_file("run", records)[0] == record_file("run", records)[0]
    assert record_file("run", records)[0] != record_file("run", [Record(about(), "1", page(2, "one"))])[0]


# An output folder behind a URL


def test_a_batch_goes_on_from_what_lies_behind_the_url(store):
    stamp = Stamp(1, 2, "d")
    with UrlOut(store) as out, out.open_ledger() as ledger:
        first = ledger.begin("x.pdf", "memory://in/x.pdf", "x.md", stamp, "o")
        ledger.opened(first, [1])
        ledger.add_page(first, page(1, "one"))
        out.write("x.md", b"one")
        ledger.finish(first, 3, "digest", keep=False)
        second = ledger.begin("y.pdf", "memory://in/y.pdf", "y.md", stamp, "o")
        ledger.opened(second, [1, 2])
        entries = [about_entry(ledger.entry(number)) for number in (first, second)]
        name, data = record_file("1", [Record(told, "", page(1, "one")) for told in entries])
        put(joined(out.records, name), data)
        ledger.commit()
        (out.folder / "report.html").write_text("report")
    assert not out.folder.exists()
    assert get_one(f"{store}/report.html") == b"report"
    assert get_one(f"{store}/.ocrpress/lock") is None
    with UrlOut(store) as out, out.open_ledger() as ledger:
        assert (out.has("x.md"), out.has("y.md")) == (True, False)
        assert [ledger.find(name).state for name in ("x.pdf", "y.pdf")] == ["done", "open"]
        assert ledger.left(ledger.find("y.pdf").id) == [2]
    put(f"{store}/x.md", b"shorter or longer")
    with UrlOut(store) as out, out.open_ledger() as ledger:
        assert ledger.find("x.pdf").state == "open"  # written again when the batch comes to it


def test_an_output_folder_that_goes_away_ends_the_run(store, monkeypatch):
    import ocrpress.jobs.urls.out as module

    monkeypatch.setattr(module, "PUSH", 0.01)
    monkeypatch.setattr(module, "BEAT", 0.0)
    with UrlOut(store) as out, out.open_ledger():
        monkeypatch.setattr(fsspec.filesystem("memory").__class__, "pipe_file", lambda *a, **k: 1 / 0)
        time.sleep(0.2)
        with pytest.raises(OutputError, match="division by zero"):
            out.write("x.md", b"one")
        monkeypatch.undo()


def test_lists_of_urls_are_known_as_such(store, tmp_path):
    fill(store, "in/a.pdf", "in/b.pdf")
    with open_place([], str(tmp_path / "out"), Choice(), iter([f"{store}/in/b.pdf"])) as place:
        (candidate,) = place.storage.candidates()
    assert (candidate.found.name, candidate.stamp.size) == ("bucket/in/b.pdf", 1)
    assert place.storage.seen_all
    assert place.records == str(tmp_path / "out" / RECORDS)


def test_paths_are_found_for_results_behind_urls(store, tmp_path):
    fill(str(tmp_path / "in"), "a.pdf")
    with open_place([str(tmp_path / "in")], store, Choice()) as place:
        (candidate,) = place.storage.candidates()
        assert candidate.found.path == str(tmp_path / "in" / "a.pdf")
        place.storage.write("a.md", b"text")
        assert place.storage.figures("sub/a.md") == (f"{store}/sub/a.figures", "a")
        assert (place.storage.has("a.md", 4), place.storage.has("b.md")) == (True, False)
        assert place.records == f"{store}/{RECORDS}"
    assert get_one(f"{store}/a.md") == b"text"


def test_an_empty_file_is_no_document(store, tmp_path):
    put(f"{store}/in/a.pdf", b"")
    with open_place([f"{store}/in"], str(tmp_path / "out"), Choice()) as place:
        (candidate,) = place.storage.candidates()
        assert (candidate.stamp, candidate.cause) == (None, "empty")
        assert not place.storage.gone(f"{store}/in/a.pdf")
        assert place.storage.gone(f"{store}/in/b.pdf")
        stamp = Stamp(*state_of(f"{store}/in/a.pdf"))
        assert place.storage.changed(f"{store}/in/a.pdf", stamp) is None
        time.sleep(0.01)
        put(f"{store}/in/a.pdf", b"more")
        changed = place.storage.changed(f"{store}/in/a.pdf", stamp)
        assert changed.size == 4
