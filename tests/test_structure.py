"""The one-way flow of the design: an import goes left only, and only the edge reads the environment."""

from __future__ import annotations

import ast

from conftest import ROOT

ROOMS = [
    {"errors"}, {"modes", "inline"}, {"document", "output"}, {"views", "typeset"}, {"sources"}, {"engines"},
    {"layout", "quality", "figures"}, {"writers"}, {"pipeline"}, {"jobs", "measure"}, {"server"}, {"cli"},
    {"__main__"},
]  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
SERVER = [
    {"settings", "errors", "service"}, {"desk"}, {"door"}, {"intake"}, {"answers"}, {"jobs", "chat", "page"}, {"app"},
    {"run"},
]  # fmt: skip
SERVER_RANK = {room: rank for rank, rooms in enumerate(SERVER) for room in rooms}
EDGE = {"cli", "server"}
# The environment that a worker process inherits is handed on, not read; Ray is told some things by no other way.
MAY_HAND_ON_THE_ENVIRONMENT = {"sources/pool.py", "jobs/cluster/joining.py"}
# CUDA itself obeys it, and torch does not tell whether a GPU is missing or was hidden by it.
MAY_READ_CUDA_VISIBLE_DEVICES = {"engines/deepseek/device.py"}


def modules():
    for path in sorted((ROOT / "ocrpress").rglob("*.py")):
        inside = path.relative_to(ROOT / "ocrpress")
        if inside.parts != ("__init__.py",):
            yield inside, inside.parts[0].removesuffix(".py"), ast.parse(path.read_text())


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ocrpress."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "ocrpress":
            yield from (alias.name for alias in node.names if alias.name in RANK)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ocrpress."))


def test_an_import_goes_left_only():
    wrong = [
        f"{path} imports {other}"
        for path, room, tree in modules()
        for other in imports(tree)
        if other != room and RANK[other] >= RANK[room]
    ]
    assert wrong == []


def test_within_the_server_too():
    wrong = []
    for path, room, tree in modules():
        inner = path.parts[1].removesuffix(".py") if room == "server" else "__init__"
        for node in ast.walk(tree) if inner not in {"__init__", "service"} else ():  # `service` names types only
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ocrpress.server."):
                other = node.module.split(".")[2]
                if other != inner and SERVER_RANK[other] >= SERVER_RANK[inner]:
                    wrong.append(f"{path} imports {node.module}")
    assert wrong == []


def test_only_the_edge_reads_the_environment():
    wrong = [
        str(path)
        for path, room, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"} and room not in EDGE
    ]
    assert set(wrong) <= MAY_HAND_ON_THE_ENVIRONMENT | MAY_READ_CUDA_VISIBLE_DEVICES
