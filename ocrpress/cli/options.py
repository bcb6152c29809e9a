"""Options that several commands have: those of the engines that have a model which chooses tokens."""

from __future__ import annotations

from collections.abc import Callable

from ocrpress.cli.choose import API_KEY
from ocrpress.engines.base import EngineOptions
from ocrpress.engines.cards import TASKS

MODEL_GROUP = "options of the engines deepseek and server"


def add_model(add: Callable[..., object], task: str) -> None:
    """Which model, where it runs, and what it is asked for; `task` is the default."""
    add("--task", metavar="T", help=f"{', '.join(TASKS[:-1])}, {TASKS[-1]}=WHAT (default: {task})")
    add("--checkpoint", metavar="C", help="a name that 'ocrpress models' lists, a folder, or a hub id (owner/name)")
    add("--device", metavar="D", help=f"auto, cpu, cuda or cuda:N; of deepseek (default: {EngineOptions.device})")
    add("--slots", type=int, metavar="N", help="pages decoded side by side (default: what fits)")
    add("--max-tokens", type=int, metavar="N", help="longest answer to a page (default: the checkpoint's)")
    add("--url", metavar="URL", help="of the endpoint, like http://localhost:8000/v1; of server")
    add("--model", metavar="NAME", help="the endpoint's name for its model (default: it is asked); of server")
    add("--api-key", metavar="KEY", help=f"of the endpoint; better: the variable {API_KEY}; of server")
    seconds = f"seconds for an answer (default: {EngineOptions.timeout:g}); of server"
    add("--timeout", type=float, metavar="S", help=seconds)
