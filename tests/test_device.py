"""Which device reads, with GPUs, drivers and builds of torch played: one that is here is used, or an error says why."""

from __future__ import annotations

import re
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")

from ocrpress.__main__ import main  # noqa: E402
from ocrpress.cli.choose import choose_engine  # noqa: E402
from ocrpress.engines import describe  # noqa: E402
from ocrpress.engines.base import EngineOptions  # noqa: E402
from ocrpress.engines.deepseek import device as devices  # noqa: E402
from ocrpress.engines.deepseek import loaded  # noqa: E402
from ocrpress.engines.deepseek.device import describe_device, find_device, find_gpu, use_device  # noqa: E402
from ocrpress.engines.deepseek.feeder import Feeder  # noqa: E402
from ocrpress.engines.deepseek.plan import DecodePlan  # noqa: E402
from ocrpress.engines.fake import FakeEngine  # noqa: E402
from ocrpress.errors import EngineError, UsageError  # noqa: E402
from ocrpress.measure import loaded as measured  # noqa: E402

PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sat Aug 12 10:00:00 UTC 2025\nGCC version:  gcc 12\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs@x)  Tue Mar 4\n"
PLAN = DecodePlan(
    "cuda:0 (NVIDIA H100)", "bfloat16", "FlashAttention 3", "grouped", "captured", 256, 524_288, 32 * 10**9
)


class Machine:
    """What torch and the system say of their GPUs. Nothing here touches CUDA.

    Attributes:
        capabilities: of the GPUs that torch can use, in order.
        current: what `torch.cuda.set_device` was last told, by thread.
    """

    def __init__(self, monkeypatch, folder) -> None:
        self.patch, self.folder = monkeypatch, folder
        self.capabilities: list[tuple[int, int]] = []
        self.current: dict[int, int] = {}
        self.cudnn: list[bool] = []
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        (folder / "dev").mkdir()
        for name, value in {
            "is_available": lambda: bool(self.capabilities),
            "device_count": lambda: len(self.capabilities),
            "get_device_capability": lambda device: self.capabilities[number(device)],
            "get_device_name": lambda device: f"NVIDIA Example {number(device)}",
            "set_device": lambda device: self.current.update({threading.get_ident(): number(device)}),
            "init": self.init,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", self.cudnn.append)
        monkeypatch.setattr(devices, "DEVICES", folder / "dev")
        monkeypatch.setattr(devices, "DRIVER_FILE", folder / "version")
        monkeypatch.setattr(devices, "WSL_LIBRARY", folder / "libcuda.so.1")

    def init(self):
        """As torch does where it can use no GPU."""
        raise RuntimeError("CUDA unknown error - this may be due\nto an incorrectly set up environment.")

    def show(self, driver="", cuda=None, words=PROPRIETARY):
        """The system shows a GPU with that driver, and torch is built for that CUDA."""
        (self.folder / "dev" / "nvidia0").touch()
        (self.folder / "dev" / "nvidiactl").touch()
        if driver:
            (self.folder / "version").write_text(words.format(driver))
        self.patch.setattr(torch.version, "cuda", cuda)
        self.patch.setattr(torch, "__version__", f"2.13.0+{'cu' + cuda.replace('.', '') if cuda else 'cpu'}")


def number(device):
    return device if isinstance(device, int) else torch.device(device).index or 0


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def install(torch_version, index):
    return f"pip install --force-reinstall 'torch{torch_version}' --index-url https://download.pytorch.org/whl/{index}"


@pytest.mark.parametrize(
    ("driver", "cuda", "words", "said"),
    [
        ("580.65.06", None, OPEN, ["torch 2.13.0+cpu is built without CUDA: run: " + install("<2.15", "cu130")]),
        ("550.54.15", None, PROPRIETARY, ["is built without CUDA: run: " + install("<2.15", "cu126")]),
        ("", None, PROPRIETARY, ["is built without CUDA: run: " + install("<2.15", "cu130")]),
        ("570.172.08", "13.0", OPEN, ["torch 2.13.0+cu130 with CUDA 13.0 needs driver 580, and 570.172.08 is installed",
                                      "update the driver to 580 or newer, run: " + install("==2.11.*", "cu128")]),
        ("535.104.05", "13.2", PROPRIETARY, ["needs driver 580, and 535.104.05", install("<2.15", "cu126")]),
        ("470.57.02", "12.6", PROPRIETARY, ["needs driver 525, and 470.57.02", "the driver to 580 or newer, or"]),
        ("580.65.06", "13.0", OPEN, ["torch 2.13.0+cu130 says: CUDA unknown error - this may be due to an incorrectly",
                                     "see what nvidia-smi says"]),
        ("", "13.0", PROPRIETARY, ["says: CUDA unknown error"]),
    ],
)  # fmt: skip
def test_a_gpu_that_torch_cannot_use_is_one_line_with_cause_and_remedy(machine, driver, cuda, words, said):
    machine.show(driver, cuda, words)
    for name in ("auto", "cuda"):
        with pytest.raises(EngineError) as caught:
            find_device(name)
        line = str(caught.value)
        assert "\n" not in line
        assert line.startswith("the GPU here cannot be used: ")
        assert line.endswith("or take --device cpu or --engine rapid")
        for words in said:
            assert words in line
    assert ("pip install" in line) == any("pip" in words for words in said)


def test_the_cpu_is_taken_where_the_user_says_so_or_no_gpu_is_to_be_seen(machine, monkeypatch):
    assert find_device("auto").type == "cpu"
    machine.show()
    assert find_device("cpu").type == "cpu"
    assert find_device("auto", fallback=True).type == "cpu"
    for hidden in ("", " ", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert find_device("auto").type == "cpu"
        assert describe_device(torch.device("cpu")) == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(EngineError):
        find_device("auto")


def test_under_wsl_a_gpu_is_nvidias_only_with_its_library(machine, tmp_path):
    (tmp_path / "dev" / "dxg").touch()
    assert find_device("auto").type == "cpu"
    (tmp_path / "libcuda.so.1").touch()
    with pytest.raises(EngineError, match="built without CUDA"):
        find_device("auto")


def test_a_gpu_without_bfloat16_is_refused_and_auto_passes_it_over(machine):
    machine.capabilities = [(7, 5), (6, 1)]
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(EngineError) as caught:
            find_device(name)
        line = str(caught.value)
        assert re.search(r"cuda:0 \(NVIDIA Example 0\) has compute capability 7\.5, .* 8\.0 or newer", line)
        assert "--device cpu or --engine rapid" in line
    assert find_device("cpu").type == "cpu"
    machine.capabilities = [(7, 5), (8, 9)]
    assert find_device("auto") == torch.device("cuda:1")
    with pytest.raises(EngineError, match=r"cuda:0 .* 7\.5"):
        find_device("cuda")
    with pytest.raises(EngineError, match="there is no device 'cuda:2': torch sees 2 GPUs"):
        find_device("cuda:2")


def test_a_gpu_is_made_ready_current_in_the_thread_and_without_the_attention_of_cudnn(machine):
    machine.capabilities = [(9, 0), (9, 0)]
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert machine.current == {threading.get_ident(): 1}
    assert machine.cudnn == [False]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(use_device, torch.device("cuda:1")).result()
    assert len(machine.current) == 2
    use_device(torch.device("cpu"))
    assert len(machine.current) == 2


def test_every_thread_that_pins_views_uses_the_device_they_are_for(machine, monkeypatch):
    monkeypatch.setattr("ocrpress.engines.deepseek.feeder._prepare", lambda *_: threading.get_ident())
    feeder = Feeder(range(1, 9), room=8, pin=True, device=torch.device("cuda:1"))
    preparing = set(feeder.take(8, wait=True))
    feeder.close()
    assert preparing
    assert preparing <= machine.current.keys()
    assert set(machine.current.values()) == {1}


def test_a_small_checkpoint_reads_on_the_cpu_where_the_gpu_cannot_be_used(machine, monkeypatch):
    machine.show("535.104.05", "13.0")
    found = loaded.load(EngineOptions(checkpoint="nano"))
    assert found.device.type == "cpu"
    assert "the GPU here cannot be used: " in describe_device(found.device)
    monkeypatch.setattr(loaded, "SMALL", 1000)
    with pytest.raises(EngineError, match="the GPU here cannot be used"):
        loaded.load(EngineOptions(checkpoint="nano"))
    with pytest.raises(EngineError, match="the GPU here cannot be used"):
        measured.load(EngineOptions(random_weights=True))
    with pytest.raises(UsageError, match="ocrpress bench"):
        loaded.load(EngineOptions(random_weights=True))


def test_auto_is_rapid_and_says_why(machine, monkeypatch):
    monkeypatch.setattr("ocrpress.engines.deepseek.checkpoint.is_present", lambda _: True)
    machine.show("535.104.05", "13.0")
    choice = choose_engine("auto", {})
    assert choice.name == "rapid"
    assert "deepseek-ocr for deepseek is here, but the GPU here cannot be used" in choice.why
    assert install("<2.15", "cu126") in choice.why
    machine.capabilities = [(7, 0)]
    choice = choose_engine("auto", {})
    assert (choice.name, "has compute capability 7.0" in choice.why) == ("rapid", True)
    machine.capabilities = [(7, 0), (9, 0)]
    choice = choose_engine("auto", {})
    assert (choice.name, "a GPU (NVIDIA Example 1)" in choice.why) == ("deepseek", True)
    assert machine.current == {}  # the process that chooses need not be the one that reads


def test_doctor_says_what_would_change_it(machine, capsysbinary):
    def notes():
        assert main(["doctor"]) == 0
        return capsysbinary.readouterr().out.decode()

    machine.show("535.104.05", "13.0")
    text = notes()
    assert re.search(r"deepseek +can run", text)
    assert re.search(r"the GPU here cannot be used: .* needs driver 580, and 535\.104\.05 is installed", text)
    machine.show("580.65.06", "13.0")
    machine.capabilities = [(9, 0), (7, 5)]
    machine.patch.setattr(devices.platform, "machine", lambda: "x86_64")
    text = notes()
    assert "devices: cuda:0 (NVIDIA Example 0, capability 9.0, driver 580.65.06), cuda:1" in text
    assert "run: pip install 'ocrpress[h100]'" in text
    assert "FlashAttention 3" in text
    assert "cannot be used" not in text


@pytest.mark.parametrize(
    ("capability", "cuda", "processor", "there", "advised"),
    [
        ((9, 0), "13.0", "x86_64", (), True),
        ((9, 0), "12.8", "x86_64", (), False),
        ((9, 0), "13.0", "aarch64", (), False),
        ((9, 0), "13.0", "x86_64", ("fa3_fwd_interface",), False),
        ((9, 0), "13.0", "x86_64", ("flash_attn_interface",), False),
        ((8, 0), "13.0", "x86_64", (), False),
        ((10, 0), "13.0", "x86_64", (), False),
    ],
)
def test_the_kernel_for_hopper_is_advised_where_it_would_run(machine, capability, cuda, processor, there, advised):
    machine.capabilities = [capability]
    machine.patch.setattr(torch.version, "cuda", cuda)
    machine.patch.setattr(devices.platform, "machine", lambda: processor)
    machine.patch.setattr(devices.importlib.util, "find_spec", lambda name: name in there or None)
    assert ("ocrpress[h100]" in devices.kernel_advice(torch.device("cuda:0"))) == advised
    assert devices.kernel_advice(torch.device("cpu")) == ""
    assert find_gpu() == 0


def test_the_wheels_are_those_that_the_project_and_its_image_install():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bounds = [
        line.partition("torch>=")[2] for extra in ("deepseek", "h100") for line in extras[extra] if "torch" in line
    ]
    assert [bound.partition(",")[2] for bound in bounds] == [devices.WHEELS[0][1]] * 2
    image = (ROOT / "serving" / "Dockerfile.gpu").read_text()
    (first, _, newest), (last, _, oldest) = devices.WHEELS[0], devices.WHEELS[-1]
    assert f"ARG TORCH=https://download.pytorch.org/whl/{newest}" in image
    assert f"TORCH=https://download.pytorch.org/whl/{oldest}" in image
    assert f"driver {first} or newer" in image
    assert f"drivers from {last} on" in image


def test_an_engine_says_in_a_line_how_it_runs():
    class Planned:
        name, plan = "deepseek", PLAN

    assert describe(Planned()) == (
        "engine deepseek on cuda:0 (NVIDIA H100): bfloat16, attention: FlashAttention 3, experts: grouped, "
        "CUDA graphs: captured, 256 rows, KV cache of 524,288 tokens (32.0 GB)"
    )
    Planned.plan = DecodePlan(**{**vars(PLAN), "advice": "run: pip install x"})
    assert describe(Planned()).endswith("(32.0 GB); run: pip install x")
    assert describe(FakeEngine()) == ""
    assert describe(SimpleNamespace(name="other", plan=None)) == ""
