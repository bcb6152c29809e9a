"""Files behind URLs (s3://, gs://, …), through fsspec: reading one, putting one whole, telling what state it is in.

What fsspec or a driver of it raises becomes an error of ours that names the URL. A path without "scheme://" is a file
of this machine, for all that is here. `found` lists trees.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ocrpress.errors import InputError, OcrpressError, OutputError, UsageError
from ocrpress.output import check_folder, write_bytes

if TYPE_CHECKING:
    from datetime import datetime

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WEB = frozenset({"http", "https"})  # one can read there, but not list or write
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
ADVICE = "check the address, and the credentials that this machine has for it"


def is_url(name: str) -> bool:
    """Is it an URL rather than a path?

    >>> is_url("s3://bucket/x.pdf"), is_url("/x.pdf")
    (True, False)
    """
    return _URL.match(name) is not None


def local_path(name: str) -> str:
    """The path that a "file://" URL stands for; anything else as it is.

    >>> local_path("file:///data/x.pdf")
    '/data/x.pdf'
    """
    return name[len("file://") :] if name.lower().startswith("file:///") else name


def joined(folder: str, *parts: str) -> str:
    """A path or URL below a folder."""
    return "/".join((folder.rstrip("/"), *parts)) if is_url(folder) else str(Path(folder, *parts))


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        UsageError: no such kind of URL, or the package for it is not installed.
    """
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(f"{url} needs fsspec", "install it with pip install 'ocrpress[cluster]'") from error
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        package = _DRIVERS.get(scheme, f"the fsspec driver for {scheme}")
        raise UsageError(f"{url} needs {package} ({error})", f"install it with pip install {package}") from error
    except ValueError as error:
        raise UsageError(
            f"{url} cannot be reached ({_reason(error)})", "use s3://, gs:// or another that fsspec knows"
        ) from error
    return found


@contextlib.contextmanager
def translated(url: str, doing: str, kind: type[OcrpressError]) -> Iterator[None]:
    """What goes wrong inside, as an error of this kind about this URL: drivers raise what their makers thought of."""
    try:
        yield
    except (OcrpressError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise kind(f"{url} does not exist", "check the spelling") from error
    except PermissionError as error:
        raise kind(f"cannot {doing} {url} (access denied)", ADVICE) from error
    except Exception as error:
        raise kind(f"cannot {doing} {url} ({_reason(error)})", ADVICE) from error


@contextlib.contextmanager
def opened(path: str) -> Iterator[str | BinaryIO]:
    """What `sources.open_source` takes for a path or a URL: the path itself, or a stream that bears the URL's name.

    Raises InputError where the URL cannot be opened; so does reading from the stream.
    """
    if not is_url(path):
        yield path
        return
    system, inside = file_system(path)
    with contextlib.ExitStack() as stack:
        with translated(path, "read", InputError):
            stream = stack.enter_context(system.open(inside, "rb"))
        yield cast(BinaryIO, io.BufferedReader(_Named(stream, path), 1 << 20))


class _Named(io.RawIOBase):
    """A stream to read from, under the name of its URL."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self.name = stream, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with translated(self.name, "read", InputError):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def state_of(path: str) -> tuple[int, int, str]:
    """What a file behind a URL is now: bytes, time of change in ns (0 if nobody knows), and a digest.

    The digest is of what the store says of the file (ETag, version, checksum, size), not of its contents: those would
    have to be fetched. Two files with one digest are equal; two equal ones may differ in it.

    Raises InputError.
    """
    system, inside = file_system(path)
    with translated(path, "read", InputError):
        return state(system.info(inside))


def state(info: Mapping[str, Any]) -> tuple[int, int, str]:
    """The same, from what a listing says of the file."""
    size, changed = int(info.get("size") or 0), _time(info)
    marks = [str(info[mark]) for mark in ("ETag", "etag", "md5Hash", "content_md5", "VersionId") if info.get(mark)]
    told = "\n".join([str(size), *(marks or [str(changed)])])
    return size, changed, hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def put(path: str, data: bytes) -> None:
    """Write a file, whole or not at all. Missing folders are made. Raises OutputError."""
    if not is_url(path):
        check_folder(Path(path).parent)
        write_bytes(Path(path), data)
        return
    with translated(path, "write", OutputError):
        system, inside = file_system(path)
        system.pipe_file(inside, data)


def put_file(path: str, file: Path) -> None:
    """The same, of a file of this machine."""
    if not is_url(path):
        put(path, file.read_bytes())
        return
    with translated(path, "write", OutputError):
        system, inside = file_system(path)
        system.put_file(os.fspath(file), inside)


def remove(path: str) -> None:
    """Remove a file behind a URL, if it is there. Raises OutputError."""
    with translated(path, "remove", OutputError), contextlib.suppress(FileNotFoundError):
        system, inside = file_system(path)
        system.rm_file(inside)


def get_all(folder: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """The files of this ending in a folder, sorted by name: name and contents. Nothing if there is no folder.

    Raises InputError.
    """
    if not is_url(folder):
        for file in sorted(Path(folder).glob(f"*{ending}")):
            yield file.name, file.read_bytes()
        return
    system, inside = file_system(folder)
    with translated(folder, "read", InputError):
        try:
            names = sorted(name for name in system.ls(inside, detail=False) if name.endswith(ending))
        except FileNotFoundError:
            return
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            data = system.cat(some) if len(some) > 1 else {some[0]: system.cat_file(some[0])}
            yield from ((name.rpartition("/")[2], data[name]) for name in some)


_AT_ONCE = 64  # files fetched side by side


def get_one(path: str) -> bytes | None:
    """The contents of a file behind a URL; None if it is not there. Raises InputError."""
    system, inside = file_system(path)
    with translated(path, "read", InputError):
        try:
            data: bytes = system.cat_file(inside)
        except FileNotFoundError:
            return None
    return data


def exists(path: str) -> bool:
    """Is there a file behind the URL? Raises InputError."""
    system, inside = file_system(path)
    with translated(path, "read", InputError):
        return bool(system.exists(inside))


def sizes_below(folder: str) -> dict[str, int]:
    """Bytes of every file below a folder behind a URL, by its path in it. Raises InputError."""
    system, inside = file_system(folder)
    with translated(folder, "list", InputError):
        try:
            found = system.find(inside, detail=True)
        except FileNotFoundError:
            return {}
    start = len(inside.rstrip("/")) + 1
    return {path[start:]: int(info.get("size") or 0) for path, info in found.items()}


def _time(info: Mapping[str, Any]) -> int:
    """When a file was changed, in ns."""
    for mark in ("LastModified", "last_modified", "updated", "mtime", "modified", "created"):
        found: datetime | float | str | None = info.get(mark)
        if isinstance(found, (int, float)):
            return round(found * 1e9)
        if found is not None and hasattr(found, "timestamp"):
            return round(found.timestamp() * 1e9)
    return 0


def _reason(error: Exception) -> str:
    """The first line of what an error says, and its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
