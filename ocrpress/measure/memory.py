"""Peak memory between two moments: of the GPU as torch allocates it, or of this process."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # Linux: forget the highest resident set so far (proc_pid_clear_refs)


class PeakMemory:
    """Highest use of memory since `reset`.

    Args:
        device: "cuda", "cuda:N" or "cpu".

    Attributes:
        of: what is counted: "GPU memory allocated" or "resident set of this process" (its child processes not).
    """

    def __init__(self, device: str) -> None:
        self._device = device if device.startswith("cuda") else ""
        self.of = "GPU memory allocated" if self._device else "resident set of this process"

    def reset(self) -> None:
        """Count from here on. Where the system cannot forget (not Linux), the peak is that of the whole process."""
        if self._device:
            sys.modules["torch"].cuda.reset_peak_memory_stats(self._device)
            return
        with contextlib.suppress(OSError):
            _CLEAR.write_text(RESET_PEAK, encoding="ascii")

    def peak(self) -> int:
        """Bytes."""
        if self._device:
            return int(sys.modules["torch"].cuda.max_memory_allocated(self._device))
        return _status("VmHWM") or _whole_process()


def resident() -> int:
    """Bytes of this process that are in memory now; 0 where the system does not say."""
    return _status("VmRSS")


def _status(name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def _whole_process() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
