"""serving/: what Prometheus asks, when it calls somebody, what the dashboard shows: all of it is there to be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from deploy_tools import grouped, option, selectors
from prometheus_client.parser import text_string_to_metric_families

from ocrpress.document import Attempt, PageResult
from ocrpress.engines.base import Capabilities
from ocrpress.jobs.reading.settings import Settings
from ocrpress.server.desk.facts import EngineFacts, Load
from ocrpress.server.door.metrics import Metrics

SERVING = ROOT / "serving"
README = (SERVING / "README.md").read_text(encoding="utf-8")
SERVICES = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]
PROMETHEUS = yaml.safe_load((SERVING / "prometheus.yml").read_text())
ALERTS = [rule for group in yaml.safe_load((SERVING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((SERVING / "grafana" / "dashboards" / "ocrpress.json").read_text())
OURS = {"ocrpress", "ocrpress-vllm"}
EVERYWHERE = {"instance", "job"}  # labels that Prometheus adds


class EveryState:
    """A desk that has something to say of everything."""

    state, error, restarts = "ready", None, 1
    engine = EngineFacts("fake", "native", Capabilities(("native",)))

    def load(self):
        return Load(1, 1, 1, 1, 1, 1.0)

    def counts(self):
        return {"waiting": 1}


@pytest.fixture(scope="module")
def known():
    """Sample name -> (type, labels), of all that the service says."""
    metrics = Metrics(Settings("fake"))
    metrics.attach(EveryState(), EveryState())
    attempt = Attempt("fake", "tiny", "error", 1.0, "no", fault="error")
    metrics.saw_page(
        PageResult(1, "failed", engine="fake", mode="tiny", attempts=(attempt,), seconds={"views": 1.0}), ""
    )
    metrics._vision.labels("tiny").inc()
    metrics._sequence.labels("tiny").inc()
    metrics._answered({"method": "GET"}, "200", 0.1, 1, 1)
    return {
        sample.name: (family.type, set(sample.labels))
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def expressions():
    found = [(f"alert {rule['alert']}", rule["expr"]) for rule in ALERTS]
    for panel in DASHBOARD["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    return found


def wrong_with(expression, known):
    """What of an expression does not fit the metrics that there are."""
    told = []
    labels = set(EVERYWHERE)
    for found in selectors(expression):
        if found.name not in known:
            told.append(f"there is no {found.name}")
            continue
        kind, own = known[found.name]
        labels |= own
        told += [
            f"{found.name} has no label {label}" for label in found.labels if label not in own | {"instance", "job"}
        ]
        counted = kind == "counter" or found.name.endswith("_bucket")
        if counted != (found.function in {"rate", "increase"} and found.ranged):
            told.append(f"{found.name} is a {kind}: rate and increase are for counters, and for all of them")
        if found.name.endswith("_bucket") != ("histogram_quantile" in expression and "le" in grouped(expression)):
            told.append(f"{found.name}: a quantile is taken of buckets, by le")
    if not selectors(expression):
        told.append("it asks nothing of ocrpress")
    return told + [f"nothing is grouped by {label}" for label in grouped(expression) if label not in labels]


@pytest.mark.parametrize(("title", "expression"), expressions())
def test_every_query_fits_the_metrics_that_there_are(title, expression, known):
    assert wrong_with(expression, known) == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum(rate(ocrpress_page_total[5m]))", "no ocrpress_page_total"),
        ("sum(ocrpress_pages_total)", "for counters"),
        ("rate(ocrpress_clients[5m])", "for counters"),
        ('sum(rate(ocrpress_pages_total{cause="crash"}[5m]))', "no label cause"),
        ("sum by (route) (rate(ocrpress_pages_total[5m]))", "nothing is grouped by route"),
        ("histogram_quantile(0.5, sum by (stage) (rate(ocrpress_stage_seconds_bucket[5m])))", "by le"),
        ("histogram_quantile(0.5, sum by (le) (rate(ocrpress_stage_seconds_sum[5m])))", "of buckets"),
        ("up == 0", "asks nothing"),
    ],
)
def test_a_query_that_does_not_fit_is_found(expression, said, known):
    assert any(said in line for line in wrong_with(expression, known))


def test_the_dashboard_shows_what_it_should_and_hangs_together():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = yaml.safe_load((SERVING / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][
        0
    ]
    used = {panel["datasource"]["uid"] for panel in panels if "datasource" in panel}
    assert used == {source["uid"]}
    places = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & places, f"{panel['title']} covers another panel"
        places |= cells
    titles = " ".join(panel["title"] for panel in panels)
    for word in ("Pages a second", "Pages a day", "Queue", "p50", "p95", "p99", "by cause", "Tokens", "memory"):
        assert word in titles
    provider = yaml.safe_load((SERVING / "grafana/provisioning/dashboards/ocrpress.yaml").read_text())["providers"][0]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_asks_services_that_there_are_with_a_token_that_is_mounted():
    assert all(f"/etc/prometheus/{Path(path).name}" == path for path in PROMETHEUS["rule_files"])
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert set(PROMETHEUS["rule_files"]) <= set(mounted)
    assert option(SERVICES["prometheus"]["command"], "--config.file") in mounted
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    for job in jobs.values():
        (discovery,) = job["dns_sd_configs"]
        assert set(discovery["names"]) <= set(SERVICES)
        assert (discovery["type"], discovery["port"]) == ("A", 8000)
    assert set(jobs["ocrpress"]["dns_sd_configs"][0]["names"]) == OURS
    token = jobs["ocrpress"]["authorization"]
    assert token == {"type": "Bearer", "credentials_file": "/run/secrets/prometheus_token"}
    assert SERVICES["prometheus"]["secrets"] == ["prometheus_token"]


def test_alerts_say_what_is_wrong_and_the_readme_what_to_do():
    assert len(ALERTS) == 3
    for rule in ALERTS:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+m", rule["for"])
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"`{rule['alert']}`" in README
