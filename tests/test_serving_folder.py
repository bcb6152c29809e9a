"""serving/: compose.yaml, the cluster file and the README hold together, and say what is true."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest
import yaml
from conftest import ROOT
from deploy_tools import commands_in, is_floating, option

from ocrpress.cli.main import build_parser, load
from ocrpress.server.settings import ServerSettings

SERVING = ROOT / "serving"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
README = (SERVING / "README.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
RAY = list(yaml.safe_load_all((SERVING / "ray-cluster.yaml").read_text()))
OURS = ("ocrpress", "ocrpress-vllm")


def test_services_have_fixed_images_limits_and_health():
    for name, service in SERVICES.items():
        assert not is_floating(service["image"]), name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert {name for name, service in SERVICES.items() if not service.get("read_only")} == {"vllm"}


def test_only_what_compose_knows_is_said():
    known = {
        "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "expose", "healthcheck",
        "image", "logging", "ports", "profiles", "read_only", "restart", "secrets", "security_opt", "shm_size",
        "stop_grace_period", "tmpfs", "volumes",
    }  # fmt: skip
    assert {key for service in SERVICES.values() for key in service} <= known
    health = {key for service in SERVICES.values() for key in service["healthcheck"]}
    assert health <= {"test", "interval", "timeout", "start_period", "retries"}
    assert set(COMPOSE) <= {"name", "services", "secrets", "volumes", "x-ocrpress"}


def test_what_services_name_is_defined():
    volumes = {}
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert SERVICES[other]["healthcheck"]
            assert not SERVICES[other].get("profiles") or SERVICES[other]["profiles"] == service.get("profiles"), name
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (SERVING / source).exists(), source
                assert volume.endswith(":ro"), source
            else:
                volumes.setdefault(source, []).append(name)
    assert set(volumes) == set(COMPOSE["volumes"])
    assert all(len(users) == 1 for users in volumes.values()), "a ledger has one writer"
    build = SERVICES["ocrpress"]["build"]
    assert (SERVING / build["context"] / build["dockerfile"]).is_file()
    assert (SERVING / build["context"]).resolve() == ROOT


def test_ports_are_open_to_the_host_alone_and_no_two_are_the_same():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_no_secret_is_in_the_repository():
    listed = subprocess.run(
        ["git", "check-ignore", "serving/secrets/tokens"], cwd=ROOT, capture_output=True, check=False
    )
    assert listed.returncode in {0, 128}  # 128: no checkout
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert f"secrets/{name}" in README


def test_the_containers_patience_is_longer_than_draining():
    for name in OURS:
        drain = float(option(SERVICES[name]["command"], "--drain-seconds"))
        assert drain == ServerSettings.drain_seconds
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_what_the_service_needs_is_mounted_and_reached():
    for name in OURS:
        service = SERVICES[name]
        command = service["command"]
        assert command[:2] == ["ocrpress", "serve"]
        assert option(command, "--token-file") == "/run/secrets/tokens"
        assert "tokens" in service["secrets"]
        assert option(command, "--host") == "0.0.0.0"  # noqa: S104 (within its container)
        port = option(command, "--port")
        assert any(mapping.endswith(f":{port}") for mapping in service["ports"])
        assert any(volume.endswith(f":{option(command, '--folder')}") for volume in service["volumes"])
        assert f":{port}/readyz" in service["healthcheck"]["test"][-1]
        assert [place.partition(":")[0] for place in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert option(SERVICES["ocrpress-vllm"]["command"], "--url") == "http://vllm:8000/v1"
    vllm = SERVICES["vllm"]
    assert option(vllm["command"], "--port") == "8000"
    assert vllm["command"][0] == "deepseek-ai/DeepSeek-OCR"
    card = tomllib.loads((ROOT / "models" / "deepseek-ocr" / "model.toml").read_text())
    assert vllm["command"][0] in json.dumps(card)


def test_all_nodes_of_the_cluster_run_the_same_image_and_see_the_same_documents():
    claim, cluster = RAY
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    head, (group,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    images, mounts = set(), set()
    for part in (head, group):
        pod = part["template"]["spec"]
        (container,) = pod["containers"]
        images.add(container["image"])
        mounts |= {mount["mountPath"] for mount in container["volumeMounts"]}
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["resources"]["limits"]["memory"]
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["exec"]["command"]
    assert len(images) == len(mounts) == 1
    text = (SERVING / "ray-cluster.yaml").read_text()
    assert f"--tag {images.pop()} " in text
    for command in commands_in(next(line for line in text.splitlines() if "ocrpress batch" in line)):
        assert command[1].startswith(mounts.pop())


def test_ray_knows_the_options_that_nodes_are_started_with():
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {name for option in scripts.start.params for name in option.opts}
    cluster = RAY[1]["spec"]
    given = {*cluster["headGroupSpec"]["rayStartParams"], *cluster["workerGroupSpecs"][0]["rayStartParams"]}
    assert {f"--{name}" for name in given} <= known
    assert "health-check" in scripts.cli.commands
    (wanted,) = [need for need in EXTRAS["cluster"] if need.startswith("ray")]
    assert cluster["rayVersion"].startswith(re.search(r">=(\d+\.\d+)", wanted)[1])


def test_every_file_and_option_that_the_readme_names_exists():
    for path in re.findall(r"\]\(([^):]+)\)", README):
        assert (SERVING / path).exists(), path
    serve = build_parser("serve", load("serve"))[1]["serve"].format_help()
    elsewhere = {"--form", "--detach", "--build", "--pull", "--profile", "--directory", "--mode", "--elsewhere",
                 "--clients", "--seconds", "--token-file", "--engine", "--help"}  # fmt: skip
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - elsewhere
    assert {name for name in named if name not in serve} == set()
    for mentioned in ("ocrpress_process_resident_memory_bytes", "ocrpress_workers_resident_memory_bytes"):
        assert mentioned in README


def test_every_figure_of_the_readme_stands_in_a_result():
    quoted = re.findall(r"\*\*([\d.]+)\*\* \| `(\S+?)\.json`, `([\w.]+)`", README)
    assert len(quoted) >= 2
    for value, name, key in quoted:
        measured = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for part in key.split("."):
            measured = measured[int(part) if isinstance(measured, list) else part]
        assert round(measured, len(value.partition(".")[2])) == float(value), (name, key)
