"""Joining a Ray cluster, or starting one on this machine: without telemetry, in a temporary folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrpress.errors import EngineError, UsageError

AUTO = "auto"
ADVICE = "start one with 'ray start --head', or take --cluster auto for one on this machine alone"
# Read when Ray is imported; what the user has set stays.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
RAY_START = Path("/tmp/ray/ray_current_cluster")  # noqa: S108 (where 'ray start' says what it has started)
DRAWING_CPUS = 0.5  # that a task is reckoned to take which draws a document's pages
KNOCK = 10.0  # seconds
_LONGEST = 24  # letters of a folder in which Ray's sockets still find room for their names


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the room on it that a batch takes.

    Attributes:
        address: of its head, "host:port"; "auto" is the one that RAY_ADDRESS names or 'ray start' has made
            this machine part of, or else one on this machine alone.
        engines: how many engines read side by side; None: one a GPU where the engine runs on GPUs, else one a node.
        gpus: that an engine takes, maybe a part of one; None: 1 where the engine runs on GPUs, else 0.
        cpus: that an engine is reckoned to take; None: 1 on GPUs, else half of a node's. What is left draws pages.
        memory: bytes of shared memory for pages on their way, of a cluster on this machine alone.
    """

    address: str = AUTO
    engines: int | None = None
    gpus: float | None = None
    cpus: float | None = None
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        """Refuse what cannot be (UsageError)."""
        for name, least in (("engines", 1), ("gpus", 0), ("cpus", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} of the cluster: {value:g}", f"it must be {least} or more")


@dataclass(frozen=True)
class Shares:
    """How the cluster is shared out: engines, and GPUs and CPUs for each."""

    engines: int
    gpus: float
    cpus: float


def share_out(nodes: Sequence[Mapping[str, float]], cluster: Cluster, on_gpu: bool, grows: bool) -> Shares:
    """What engines get.

    Args:
        nodes: "CPU" and "GPU" of each.
        on_gpu: the engine makes use of GPUs.
        grows: there may be more nodes when they are needed.

    Raises:
        UsageError: more is asked for than there will ever be.
    """
    all_cpus, all_gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    gpus = cluster.gpus if cluster.gpus is not None else float(on_gpu and all_gpus > 0)
    engines = cluster.engines or (int(all_gpus / gpus) if gpus else len(nodes)) or 1
    cpus = cluster.cpus
    if cpus is None:
        half = min((node["CPU"] for node in nodes), default=2.0) / 2
        cpus = 1.0 if gpus else max(0.5, half / max(1, engines / max(1, len(nodes))))
        cpus = float(int(cpus)) if cpus > 1 else cpus  # Ray knows fractions below 1 only
    if not grows and (engines * cpus > all_cpus - DRAWING_CPUS or engines * gpus > all_gpus):
        asked = f"{engines} engines of {cpus:g} CPUs and {gpus:g} GPUs each"
        raise UsageError(f"{asked} need more than this machine has", "take fewer, or less for each")
    return Shares(engines, gpus, cpus)


class Connection:
    """This process's connection to a cluster.

    Attributes:
        folder: where Ray has its files, if it is a cluster of our own; it goes with the cluster.

    Raises:
        UsageError: Ray is not installed.
        EngineError: there is no cluster at the address, or none can be started here.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.folder: Path | None = None
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UsageError(
                f"--cluster needs Ray ({error})", "install it with pip install 'ocrpress[cluster]'"
            ) from error
        self._ray: Any = ray
        try:
            self._join(cluster)
        except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self.close()
            first = " ".join(str(error).split())[:300]
            raise EngineError(f"no Ray cluster at {cluster.address} ({first})", ADVICE) from error

    def close(self) -> None:
        """Leave the cluster; one of our own ends. Safe to call twice."""
        self._ray.shutdown()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def shares(self, cluster: Cluster, on_gpu: bool) -> Shares:
        """How the cluster is shared out now. Raises UsageError if this machine alone cannot have what is asked for."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        return share_out(nodes, cluster, on_gpu, grows=self.folder is None)

    def _join(self, cluster: Cluster) -> None:
        address = _address_here() if cluster.address == AUTO else cluster.address
        if address:
            _knock(address)
            self._ray.init(address=address)
            return
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else it is kept in the user's home
        there = tempfile.gettempdir()
        self.folder = Path(tempfile.mkdtemp(prefix="ocrpress-", dir=there if len(there) <= _LONGEST else "/tmp"))  # noqa: S108
        self._ray.init(
            address="local", include_dashboard=False, object_store_memory=cluster.memory, _temp_dir=str(self.folder),
            # Where other programs fill the memory, Ray would go on killing ours and starting them again.
            _system_config={"memory_monitor_refresh_ms": 0},
        )  # fmt: skip


def _address_here() -> str:
    """Of the cluster that this machine was made part of; empty if it was not.

    Ray's own "auto" would find the private clusters of other programs, too, and then wait for leave to enter.
    """
    if address := os.environ.get("RAY_ADDRESS", ""):
        return address
    try:
        address = RAY_START.read_text().strip()
        _knock(address)
    except (OSError, ValueError):  # nobody has started one, or it is gone
        return ""
    return address


def _knock(address: str) -> None:
    """Find out whether anybody is there: Ray itself would try for minutes. Raises OSError and ValueError."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        raise ValueError("an address is HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), KNOCK):
        pass
