"""Dashboard and alerts: every metric in them is one that /metrics shows, with these labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from core.db.models import JobMeasure, Worker
from core.ids import new_id
from tests.api.world import World

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "observability"
FUNCTIONS = frozenset(
    {"max", "min", "sum", "by", "rate", "increase", "and", "histogram_quantile", "topk"}
)
GIVEN = {"instance", "job", "le"}
"""Labels that Prometheus adds, and that of buckets."""


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dermsynth3d.json").read_text())
    return loaded


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


@pytest.fixture
def shown(world: World, api: httpx.Client, anonymous: httpx.Client) -> dict[str, set[str]]:
    """Every sample name of /metrics with its labels, on a service where everything has happened."""
    api.get("/v1/jobs")
    gpu = {"uuid": "GPU-1", "name": "H100", "total_bytes": 80, "used_bytes": 7}
    happened = {
        "submitted": "cpu", "wait": "cpu", "ended": "failed", "failure": "timeout",
        "lost": "lease", "attempt": "", "retry": "", "run": "", "delivery": "failed",
    }  # fmt: skip
    with world.sessions.begin() as session:
        for name, detail in happened.items():
            session.add(JobMeasure(name=name, kind="noop", detail=detail, value=1.0))
        session.add(
            Worker(id=new_id("wrk"), host="here", pid=1, queues=["gpu"], slots=1, available=[],
                   gpus=[gpu])
        )  # fmt: skip
    api.post("/v1/jobs/sleep", json={})
    samples: dict[str, set[str]] = {"up": {"job"}}
    for family in text_string_to_metric_families(anonymous.get("/metrics").text):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return samples


def names(expression: str) -> set[str]:
    """Return the metric names of a PromQL expression."""
    bare = re.sub(
        r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring) \([^)]*\)', "", expression
    )
    return set(re.findall(r"\b[a-z_][a-z0-9_:]*\b", bare)) - FUNCTIONS


def labels(expression: str) -> set[str]:
    """Return the labels that an expression selects or groups by."""
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    selected = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression)
    return {label.strip() for text in grouped for label in text.split(",")} | set(selected)


def test_every_metric_that_is_asked_for_is_shown(shown: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name in names(expression)}
    assert len(asked) > 20
    assert asked - set(shown) == set()


def test_every_label_that_is_asked_for_is_there(shown: dict[str, set[str]]) -> None:
    for expression in expressions():
        known = set().union(*(shown[name] for name in names(expression))) | GIVEN
        assert labels(expression) - known == set(), expression


def test_every_metric_of_ours_is_on_the_dashboard_or_watched(shown: dict[str, set[str]]) -> None:
    asked = {re.sub(r"_bucket$", "", name) for e in expressions() for name in names(e)}
    ours = {
        re.sub(r"_(bucket|count|sum|created)$", "", name)
        for name in shown
        if name.startswith("dermsynth_")
    }
    assert ours - asked == set()


def test_the_rules_are_whole() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) >= 8
    for rule in found:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_parentheses_and_quotes_of_expressions_match(expression: str) -> None:
    assert expression.count('"') % 2 == 0
    depth: list[str] = []
    pairs = {")": "(", "}": "{", "]": "["}
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in pairs.values():
            depth.append(character)
        elif character in pairs:
            assert depth.pop() == pairs[character]
    assert depth == []


def test_the_dashboard_can_be_provisioned() -> None:
    found = dashboard()
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    source = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text())["datasources"][0]
    for panel in found["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == source["uid"]


def test_prometheus_reads_the_rules_and_sends_a_key() -> None:
    loaded = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    compose = yaml.safe_load((DEPLOY.parents[1] / "docker-compose.yml").read_text())
    mounts = " ".join(compose["services"]["prometheus"]["volumes"])
    for path in (*loaded["rule_files"], "/etc/prometheus/prometheus.yml"):
        assert f":{path}:ro" in mounts
    scrape = loaded["scrape_configs"][0]
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    host = scrape["static_configs"][0]["targets"][0].partition(":")[0]
    assert host in compose["services"]["api"]["environment"]["DERMSYNTH_HOSTS"].split(",")
