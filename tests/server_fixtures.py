"""Fixtures of the server engine's tests: a plugin, because it is more than one file that needs them."""

from __future__ import annotations

import asyncio

import pytest

from ocrpress.engines.base import EngineOptions
from ocrpress.engines.server import ServerEngine
from ocrpress.engines.server.patience import Patience

QUICK = Patience(delay=0.001, longest=0.004)


@pytest.fixture
def plain_network(monkeypatch, tmp_path):
    """No proxy, and no time spent on reading the system's certificates for every engine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def engine_for(plain_network):
    """Engines that are closed at the end."""
    engines = []

    def make(server, patience=QUICK, wait=asyncio.sleep, **options):
        url = server if isinstance(server, str) else server.url
        engines.append(ServerEngine(EngineOptions(**{"url": url, "timeout": 20.0, **options}), patience, wait))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
