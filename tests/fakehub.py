"""A local HTTP server that answers as the Hugging Face hub does, for one repository, and fails as it is told."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class FakeHub:
    """Serves the files of a folder as a repository.

    Attributes:
        cut: bytes of a large file after which the connection ends; one entry is used up a request.
        corrupt: file names whose content comes with its last byte changed.
        stall: bytes of a large file after which nothing more comes, while it is set; `stalled` then is.
        status: answered to every request instead, if set; `status_of_files` to every download.
        forward: the URL of another hub, to which downloads are forwarded, once within this one first.
        resumes: whether it heeds Range.
        asked: (method, path, Range) of every request.
    """

    def __init__(self, folder: Path, repository: str, commit: str = "c" * 40) -> None:
        self.folder, self.repository, self.commit = folder, repository, commit
        self.cut: list[int] = []
        self.stall, self.stalled = 0, threading.Event()
        self.corrupt: set[str] = set()
        self.status = self.status_of_files = 0
        self.forward = ""
        self.resumes = True
        self.closed = False
        self.asked: list[tuple[str, str, str]] = []
        self.tokens: set[str] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (Handler,), {"hub": self}))
        self.server.handle_error = lambda *_: None  # a client that hangs up is none of the test's
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop answering, on open connections too. Safe to call twice."""
        if self.closed:
            return
        self.closed, self.stall = True, 0
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def downloaded(self, name: str) -> list[str]:
        """The Range header of every download of a file."""
        return [span for method, path, span in self.asked if method == "GET" and path.endswith(f"/{name}")]

    def describe(self) -> dict[str, object]:
        """What the hub says of the repository."""
        siblings = []
        for path in sorted(self.folder.iterdir()):
            content = path.read_bytes()
            each = {"rfilename": path.name, "size": len(content), "blobId": git_sha1(content)}
            if path.suffix == ".safetensors":
                sha256 = hashlib.sha256(content).hexdigest()
                each["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(each)
        return {"id": self.repository, "modelId": self.repository, "sha": self.commit, "private": False, "tags": [],
                "downloads": 0, "likes": 0, "siblings": siblings}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does; `hub` is set by the hub that it answers for."""

    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        if self.hub.closed:
            self.close_connection = True
            return None
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if "/resolve/" in path:
            self.hub.tokens.add(self.headers.get("Authorization", ""))
        if self.hub.status:
            return self.send(self.hub.status, b"{}")
        if path.startswith(f"/api/models/{self.hub.repository}"):
            revision = path.partition("/revision/")[2]
            if revision in ("", "main", self.hub.commit):
                return self.send(200, json.dumps(self.hub.describe()).encode())
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if self.hub.status_of_files and "/resolve/" in path:
            return self.send(self.hub.status_of_files, b"{}")
        if self.hub.forward and "/resolve/" in path:
            onwards = path.removeprefix("/again")
            there = f"/again{path}" if onwards == path else f"{self.hub.forward}{onwards}"
            return self.send(307, b"", {"Location": there})
        if path.startswith(f"/{self.hub.repository}/resolve/"):
            return self.file(self.hub.folder / path.rpartition("/")[2], body)
        return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def file(self, path, body):
        if not path.is_file():
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = path.read_bytes()
        large = path.suffix == ".safetensors"
        etag = hashlib.sha256(content).hexdigest() if large else git_sha1(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.hub.commit, "Accept-Ranges": "bytes"}
        headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(content))} if large else {}
        if path.name in self.hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        span = self.headers.get("Range", "") if self.hub.resumes else ""
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.hub.cut.pop(0) if large and body and self.hub.cut else None
        if large and body and self.hub.stall:
            cut = self.hub.stall
        return self.send(206 if start else 200, content[start:], headers, body, cut)

    def send(self, status, content, headers=None, body=True, cut=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET" and body:
            self.wfile.write(content[:cut])
            if cut and cut == self.hub.stall:
                self.wfile.flush()
                self.hub.stalled.set()
                while self.hub.stall:
                    time.sleep(0.02)
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""


def git_sha1(content: bytes) -> str:
    """The name that git gives to a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
