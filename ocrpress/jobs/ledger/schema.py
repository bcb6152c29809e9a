"""The ledger's tables, how its file is opened and checked, and what SQLite's errors mean. Knows no documents or pages.

Paths and names are BLOBs, byte for byte what the system calls them (os.fsencode); times are seconds since 1970.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ocrpress.errors import LedgerError, OcrpressError, OutputError

STATE_FOLDER = ".ocrpress"  # inside the output folder
RECORDS = f"{STATE_FOLDER}/pages"  # where a cluster keeps what it has read
LEDGER, FINISHED, LOCK = "ledger.sqlite", "finished.jsonl", "lock"
PARTIAL = "new-ledger.sqlite"  # on its way to be LEDGER
VERSION = 1
APPLICATION_ID = 0x6F637270  # "ocrp"
_BUSY_SECONDS = 30.0

# documents.numbers  the pages to be read, as ranges: "1-3,7"; empty before the document was opened
# documents.page_count   how many these are; 0 if unknown
# documents.output_key   the output as file systems that fold case see it; NULL where there is no output of its own
# documents.shard, sharded   the shard that holds the document's record, and documents.finished as it was then: the
#                            record is out of date where the two times differ
# documents.changes  how often the file changed under the eyes of the reader since it was last read whole
# pages.output_tokens, vision_tokens, sequence_tokens   of the last attempt; pages.seconds is over all attempts
# pages.result       see `values.sealed`; NULL once it is no longer needed
# runs.pages, failed, documents   finished in this run; runs.stages   JSON, {stage: seconds} over its pages
_TABLES = (
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, path BLOB NOT NULL, output BLOB NOT NULL, output_key BLOB,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'open', 'done', 'failed')),
        size INT NOT NULL, mtime_ns INT NOT NULL, digest TEXT NOT NULL, options TEXT NOT NULL,
        numbers TEXT NOT NULL DEFAULT '', page_count INT NOT NULL DEFAULT 0, failed_pages INT NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '', cause TEXT NOT NULL DEFAULT '', shard INT, sharded REAL,
        output_bytes INT NOT NULL DEFAULT 0, output_digest TEXT NOT NULL DEFAULT '',
        started REAL, finished REAL, changes INT NOT NULL DEFAULT 0)""",
    "CREATE UNIQUE INDEX documents_output ON documents (output_key)",
    "CREATE INDEX documents_state ON documents (state)",
    "CREATE INDEX documents_shard ON documents (shard) WHERE shard IS NOT NULL",
    """CREATE TABLE pages (
        document INT NOT NULL, number INT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('ok', 'blank', 'failed')), attempts INT NOT NULL, engine TEXT NOT NULL,
        mode TEXT NOT NULL, vision_tokens INT NOT NULL, sequence_tokens INT NOT NULL, output_tokens INT,
        seconds REAL NOT NULL, error TEXT NOT NULL, cause TEXT NOT NULL, fallback INT NOT NULL, finished REAL NOT NULL,
        result BLOB, PRIMARY KEY (document, number)) WITHOUT ROWID""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, beat REAL NOT NULL, pid INT NOT NULL,
        pages INT NOT NULL DEFAULT 0, failed INT NOT NULL DEFAULT 0, documents INT NOT NULL DEFAULT 0, exit_code INT,
        about TEXT NOT NULL, stages TEXT NOT NULL DEFAULT '{}')""",
    "CREATE TABLE notes (run INT NOT NULL, path BLOB NOT NULL, why TEXT NOT NULL)",
    "CREATE TABLE options (digest TEXT PRIMARY KEY, json TEXT NOT NULL)",
)


def state_folder(out: Path) -> Path:
    """Where the ledger of an output folder lives."""
    return out / STATE_FOLDER


def create(path: Path) -> None:
    """Make an empty ledger, whole or not there. Raises OutputError."""
    partial = path.with_name(PARTIAL)
    make_partial(partial)
    place_partial(partial, path)


def make_partial(partial: Path) -> None:
    """Make an empty ledger under a name that nobody looks for; what stood there goes. Raises OutputError."""
    with translated(partial):
        for old in (partial, beside(partial, "-wal"), beside(partial, "-shm"), beside(partial, "-journal")):
            old.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")


def place_partial(partial: Path, path: Path) -> None:
    """Give a ledger its name, on the disk itself. Raises OutputError."""
    with translated(path):
        partial.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """Open a ledger for writing and look it over, every page of it.

    A commit survives the end of the process; for a power cut the write-ahead log has to be synchronised besides.

    Raises:
        LedgerError: it is damaged, or of another version.
        OutputError: the disk does not let it be opened.
    """
    with translated(path):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
        try:
            check(connection, path)
            (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()  # not all file systems can
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")
            connection.execute("PRAGMA secure_delete = OFF")
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise damaged(path, str(found))
        except BaseException:
            connection.close()
            raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading only, while others may write. Raises as `connect` does, but does not look it over."""
    with translated(path):
        quoted = path.absolute().as_uri()
        try:
            return _opened_to_read(f"{quoted}?mode=ro", path)
        except sqlite3.OperationalError:
            log = beside(path, "-wal")
            if log.exists() and log.stat().st_size:
                raise
            return _opened_to_read(f"{quoted}?immutable=1", path)  # in a folder that is for reading only


def _opened_to_read(uri: str, path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
    try:
        check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Is this a ledger, and of this version? Raises LedgerError, sqlite3.Error."""
    if path.stat().st_size == 0:
        raise damaged(path, "it is empty")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # an unknown format; anywhere else it is a mistake of ours
            raise damaged(path, str(error)) from error
        raise
    if application != APPLICATION_ID:
        raise damaged(path, "it is no ledger of ocrpress")
    if version != VERSION:
        raise LedgerError(
            f"the ledger {path} has version {version}, this ocrpress writes version {VERSION}",
            "use the ocrpress that made it, or run the batch again with --rebuild to make a new one from the outputs",
        )
    if found != set(_TABLES):
        raise damaged(path, "its tables are not those of a ledger")


def damaged(path: Path, why: str) -> LedgerError:
    """What to raise about a ledger that cannot be trusted."""
    return LedgerError(f"the ledger {path} is damaged ({' '.join(why.split())})")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and the system, in the words of `translate`."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        found = translate(error, path)
        if found is error:
            raise
        raise found from error


_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH})


def translate(error: Exception, path: Path) -> Exception:
    """The typed error for what went wrong with the ledger; the error itself if it is a mistake of ours."""
    if isinstance(error, (OcrpressError, sqlite3.ProgrammingError, sqlite3.IntegrityError)):
        return error
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "a text in it is no UTF-8")
    if isinstance(error, UnicodeError):
        return error
    if isinstance(error, OSError):
        return OutputError(f"cannot write {path} ({error.strerror or error})")
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_ERROR:
        return error
    if code is None or code & 0xFF in _DAMAGE:  # without a code: a text in it is no UTF-8
        return damaged(path, str(error))
    if code & 0xFF == sqlite3.SQLITE_BUSY:
        return OutputError(f"cannot use {path} (another program has it locked)", "close that program")
    return OutputError(f"cannot use {path} ({error})")


def beside(path: Path, ending: str) -> Path:
    """A file that SQLite keeps beside the database."""
    return path.with_name(path.name + ending)
