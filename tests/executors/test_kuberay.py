"""The KubeRay manifests: their syntax, the fields that KubeRay requires, and their command."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from hqsearch.cli import cli
from hqsearch.definition import embedded
from hqsearch.executors.shipping import CACHE_VARIABLE
from hqsearch.strategies import strategy_names

FOLDER = Path(str(resources.files("hqsearch.executors"))) / "kuberay"
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")
#: Fields of KubeRay's ray.io/v1 types that a manifest here may use.
JOB = {
    "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "rayClusterSpec", "submissionMode", "activeDeadlineSeconds",
}  # fmt: skip
CLUSTER = {
    "rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling",
    "autoscalerOptions",
}  # fmt: skip
HEAD = {"rayStartParams", "template"}
WORKER = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def clusters() -> list[tuple[str, dict[str, Any], set[str]]]:
    """Every (file, cluster, claims in the same file)."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        parts = documents(path.name)
        claims = {d["metadata"]["name"] for d in parts if d["kind"] == "PersistentVolumeClaim"}
        for part in parts:
            if part["kind"] == "RayJob":
                found.append((path.name, part["spec"]["rayClusterSpec"], claims))
            elif part["kind"] == "RayCluster":
                found.append((path.name, part["spec"], claims))
    return found


def test_there_is_a_job_and_a_cluster() -> None:
    kinds = {
        (path.name, d["apiVersion"], d["kind"])
        for path in FOLDER.glob("*.yaml")
        for d in documents(path.name)
    }
    assert kinds == {
        ("search.yaml", "v1", "PersistentVolumeClaim"),
        ("search.yaml", "ray.io/v1", "RayJob"),
        ("cluster.yaml", "v1", "PersistentVolumeClaim"),
        ("cluster.yaml", "ray.io/v1", "RayCluster"),
    }


@pytest.mark.parametrize("name, spec, claims", clusters(), ids=["cluster", "search"])
def test_a_cluster_has_what_kuberay_requires(
    name: str, spec: dict[str, Any], claims: set[str]
) -> None:
    assert set(spec) <= CLUSTER, name
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert set(head) <= HEAD
    for worker in workers:
        assert set(worker) <= WORKER
        # What no living node can run is refused at the start.
        assert 1 <= worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]
    for group in (head, *workers):
        assert all(isinstance(v, str) for v in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {v["name"]: v for v in pod.get("volumes", [])}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        (container,) = pod["containers"]
        assert container["image"]
        for amounts in container["resources"].values():
            assert {"cpu", "memory"} <= set(amounts)
            assert all(QUANTITY.fullmatch(str(a)) for a in amounts.values())
        assert {m["name"] for m in container["volumeMounts"]} == set(volumes)
    # Only the head has the studies; the workers have a place for what is shipped.
    mounts = {m["mountPath"] for m in head["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert "/studies" in mounts
    for worker in workers:
        container = worker["template"]["spec"]["containers"][0]
        places = {m["mountPath"] for m in container["volumeMounts"]}
        assert "/studies" not in places
        env = {e["name"]: e["value"] for e in container["env"]}
        # Made by the worker: the mounted folder itself may be written by everybody.
        assert str(Path(env[CACHE_VARIABLE]).parent) in places


def commands() -> list[str]:
    job = next(d for d in documents("search.yaml") if d["kind"] == "RayJob")
    comment = (FOLDER / "cluster.yaml").read_text()
    (by_hand,) = re.findall(r"-- (hqsearch run .*)", comment)
    return [job["spec"]["entrypoint"], by_hand]


@pytest.mark.parametrize("command", commands())
def test_the_command_is_one(command: str) -> None:
    program, name, *words = shlex.split(command)
    assert program == "hqsearch"
    context = cli.commands[name].make_context(name, words)
    assert context.params["ray_address"] == "auto"
    assert context.params["study"] in embedded("studies")
    assert context.params["strategy"] in strategy_names()
    assert str(context.params["studies_dir"]) == "/studies"


def test_a_cut_off_job_is_started_again() -> None:
    job = next(d for d in documents("search.yaml") if d["kind"] == "RayJob")
    assert set(job["spec"]) <= JOB
    assert job["spec"]["backoffLimit"] >= 1


def test_the_image_has_the_ray_of_the_manifests() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    versions = {*re.findall(r"ray:([\d.]+)-", text), *re.findall(r"==([\d.]+)", text)}
    assert {spec["rayVersion"] for _, spec, _ in clusters()} == versions
