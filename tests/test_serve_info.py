"""Modes, health and the description of the API."""

from __future__ import annotations

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from service_tools import running

from ocrpress.modes import MODES, NATIVE, plan

TOKEN = "tok-0123456789abcdef"  # noqa: S105


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="module")
def api(server):
    return server.client.get("/openapi.json").json()


def operations(api):
    for path, item in api["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


# Modes


def test_the_modes_are_those_of_the_table(server):
    found = server.client.get("/v1/modes").json()
    rows = {row["mode"]: row for row in found["modes"]}
    assert list(rows) == [*MODES, NATIVE.name]
    assert (found["engine"], found["default"]) == ("fake", "native")
    tokens = {name: (row["view_vision_tokens"], row["view_sequence_tokens"]) for name, row in rows.items()}
    assert tokens == {
        "tiny": (64, 73), "small": (100, 111), "base": (256, 273), "large": (400, 421), "gundam": (256, 273),
        "gundam-m": (400, 421), "dynamic": (256, 257), "native": (0, 0),
    }  # fmt: skip
    assert [row["fit"] for row in rows.values()] == ["stretch", "stretch", *["pad"] * 5, "none"]
    assert [row["tile"] for row in rows.values()] == [0, 0, 0, 0, 640, 1024, 768, 0]
    assert all(row["readable"] and row["default"] == (name == "native") for name, row in rows.items())
    assert "plan" not in rows["base"]


def test_with_a_size_each_mode_says_what_such_a_page_costs(server):
    found = server.client.get("/v1/modes", params={"width": 1700, "height": 2200, "max_tiles": 6}).json()
    for row in found["modes"]:
        made = plan(1700, 2200, row["mode"], 6)
        assert row["plan"] == {
            "width": 1700, "height": 2200, "grid": list(made.grid), "tiles": made.tiles,
            "vision_tokens": made.vision_tokens, "valid_tokens": made.valid_tokens,
            "sequence_tokens": made.sequence_tokens,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("width=100", "height"),
        ("height=100", "width"),
        ("width=0&height=1", "width"),
        ("width=1&height=-1", "height"),
        ("width=1e3&height=1", "width"),
        ("width=100001&height=1", "width"),
        ("width=&height=1", "width"),
        ("width=1&height=1&max_tiles=1", "max_tiles"),
        ("width=1&height=1&max_tiles=9999999999", "max_tiles"),
    ],
)
def test_a_size_that_cannot_be_is_refused(server, query, word):
    answer = server.client.get(f"/v1/modes?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


# Health


def test_health_and_readiness(server):
    assert server.client.get("/healthz").json() == {"status": "ok"}
    answer = server.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "why": "", "engine": "fake", "mode": "native"})
    for path in ("/healthz", "/readyz"):
        answer = server.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [("state", "starting", "opened"), ("state", "broken", "does not run"), ("state", "closed", "stopped")],
)
def test_not_ready_says_why(server, monkeypatch, attribute, value, why):
    class Desk:
        state, engine = "ready", server.service.desk.engine

    setattr(Desk, attribute, value)
    monkeypatch.setattr(server.service, "desk", Desk())
    answer = server.client.get("/readyz")
    assert answer.status_code == 503
    assert why in answer.json()["why"]
    assert server.client.get("/healthz").status_code == 200


# The description of the API


def test_the_description_is_valid_openapi(api):
    assert api["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(api).validate()


def test_every_route_of_the_api_is_described(api):
    assert {name for name, _ in operations(api)} >= {
        "post /v1/convert", "post /v1/jobs", "get /v1/jobs", "get /v1/jobs/{id}", "delete /v1/jobs/{id}",
        "get /v1/jobs/{id}/result", "get /v1/jobs/{id}/events", "get /v1/jobs/{id}/pages/{number}/image",
        "get /v1/jobs/{id}/modes", "post /v1/chat/completions", "get /v1/models", "get /v1/modes", "get /healthz",
        "get /readyz", "get /metrics",
    }  # fmt: skip
    assert not [path for path in api["paths"] if path == "/" or path.startswith("/page")]


def test_every_operation_has_a_summary_and_an_example_of_its_answer(api):
    for name, operation in operations(api):
        assert operation["summary"], name
        good = {status: response for status, response in operation["responses"].items() if status.startswith("2")}
        kinds = {kind: shown for response in good.values() for kind, shown in response.get("content", {}).items()}
        assert kinds or good.keys() == {"204"}, name
        shown = [kind for kind, found in kinds.items() if {"example", "examples"} & found.keys()]
        assert shown or all(kind.startswith("image/") for kind in kinds), name


def test_every_operation_names_its_problems(api):
    for name, operation in operations(api):
        if name.endswith("z"):
            continue
        statuses = set(operation["responses"])
        assert {"400", "401", "403", "503"} <= statuses, name
        if "{" in name:
            assert "404" in statuses, name
        if name.startswith("post"):
            assert {"413", "422", "429"} <= statuses, name
    for response in api["components"]["responses"].values():
        example = response["content"]["application/problem+json"]["example"]
        assert {"type", "title", "status", "detail", "instance"} <= example.keys()
    assert "HTTPValidationError" not in str(api)


def test_an_upload_is_described_field_by_field(api):
    for path in ("/v1/convert", "/v1/jobs"):
        form = api["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["properties"]["file"]
        assert {"mode", "pages", "password", "format"} <= form["properties"].keys()
        assert form["required"] == ["file"]


def test_the_description_says_whether_a_token_is_wanted(api, tmp_path):
    assert not [name for name, operation in operations(api) if operation.get("security")]
    with running(tmp_path, tokens={TOKEN: "ann"}) as server:
        found = server.client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert found["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {name for name, operation in operations(found) if not operation.get("security")} == {
        "get /healthz", "get /readyz",
    }  # fmt: skip
