"""The Kubernetes manifests: by the schemas of several versions, understood by our own CLI, confined, and a cluster."""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest

from flows.hosts import place_among
from tests.deploy.commands import CONFIG, parsed, settings
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    Manifest,
    arguments,
    containers,
    named,
    pods,
    rendered,
    renderer,
    written,
)

VERSIONS = ("1.28.0", "1.33.0", "1.37.0")
OLDEST = VERSIONS[0]
OF_PROMETHEUS = ("ServiceMonitor", "PodMonitor")


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Manifest]]:
    """The manifests of each overlay; skips where nothing can make them."""
    if not renderer():
        pytest.skip("overlays: neither kubectl nor kustomize found")
    return {name: rendered(str(K8S / "overlays" / name)) for name in OVERLAYS}


def validated(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_what_stands_in_files_is_valid() -> None:
    for manifest in written():
        validated(manifest, OLDEST)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_applied_is_valid(overlays: dict[str, list[Manifest]], overlay: str) -> None:
    for manifest in overlays[overlay]:
        if manifest["kind"] in OF_PROMETHEUS:  # of the Prometheus operator, which brings their schemas
            assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
            assert manifest["spec"]["selector"]
            continue
        for version in VERSIONS:
            validated(manifest, version)
        assert manifest["metadata"]["namespace"] == "streamgauge"


def test_a_mistake_would_be_found() -> None:
    (worker,) = [one for one in written() if one["kind"] == "StatefulSet"]
    worker["spec"]["podManagmentPolicy"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        validated(worker, OLDEST)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_and_settings_are_understood(
    overlays: dict[str, list[Manifest]], overlay: str, tmp_path: Path
) -> None:
    manifests = overlays[overlay]
    (configuration,) = [one for one in manifests if one["kind"] == "ConfigMap"]
    file = tmp_path / "streamgauge.toml"
    file.write_text(configuration["data"]["streamgauge.toml"], encoding="utf-8")
    ran = set()
    for name, pod in pods(manifests):
        for one in containers(pod):
            variables = {env["name"]: env.get("value", "") for env in one.get("env", [])}
            of_ours = {key: text for key, text in variables.items() if key.startswith("STREAMGAUGE_")}
            assert settings(file, of_ours, secrets=tmp_path).clickhouse.host == "clickhouse"
            for argv in command_lines(one):
                assert argv[:2] == ["--config", CONFIG], name
                ran.add(" ".join(parsed(argv)))
    wanted = {"run", "db init", "ingest http", "ingest mqtt", "notify", "watch", "console"}
    assert ran == wanted | {"console user list", "console user add"}


def command_lines(container: Manifest) -> list[list[str]]:
    """What it runs, each after `streamgauge`."""
    if "args" in container:
        return [arguments(container, 0)]
    script = container["command"][2]
    return [words.split()[1:] for words in re.findall(r"streamgauge [^|]*", script)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_confined(overlays: dict[str, list[Manifest]], overlay: str) -> None:
    for name, pod in pods(overlays[overlay]):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for one in containers(pod):
            limits = one["securityContext"]
            assert limits["readOnlyRootFilesystem"], name
            assert limits["capabilities"] == {"drop": ["ALL"]}
            assert limits["allowPrivilegeEscalation"] is False
            assert {"cpu", "memory"} <= set(one["resources"]["requests"])
            assert "memory" in one["resources"]["limits"]
            assert one["image"] == "streamgauge:0.1.0"
            mounted = {mount["name"] for mount in one.get("volumeMounts", [])}
            known = {volume["name"] for volume in pod.get("volumes", [])} | {"state"}
            assert mounted <= known


def test_selectors_find_what_they_mean(overlays: dict[str, list[Manifest]]) -> None:
    manifests = overlays["production"]
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in manifests if "template" in one.get("spec", {})]

    def found(selector: dict[str, str]) -> int:
        return sum(selector.items() <= one.items() for one in labels)

    for one in manifests:
        if one["kind"] == "Service":
            assert found(one["spec"]["selector"]) == 1, one["metadata"]["name"]
        if one["kind"] == "PodDisruptionBudget":
            assert found(one["spec"]["selector"]["matchLabels"]) == 1
    for one in manifests:
        if one["kind"] == "ServiceMonitor":
            service = named(manifests, "Service", one["metadata"]["name"])
            assert one["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_only_workers_reach_the_ports_of_the_cluster(overlays: dict[str, list[Manifest]]) -> None:
    policies = [one for one in overlays["production"] if one["kind"] == "NetworkPolicy"]
    opening = [
        (one["metadata"]["name"], rule)
        for one in policies
        for rule in one["spec"].get("ingress", [])
        if 2101 in {port["port"] for port in rule["ports"]}
    ]
    ((name, rule),) = opening
    assert name == "streamgauge-cluster"
    (whom,) = rule["from"]
    assert whom["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"


@pytest.mark.parametrize(("overlay", "workers"), [("small", 1), ("production", 3)])
def test_workers_are_a_cluster(overlays: dict[str, list[Manifest]], overlay: str, workers: int) -> None:
    manifests = overlays[overlay]
    check_cluster(named(manifests, "StatefulSet", "streamgauge-worker"), workers)
    service = named(manifests, "Service", "streamgauge-worker")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"], "they find each other before they are ready"


def check_cluster(stateful: Manifest, workers: int) -> None:
    """Each pod runs one process of one cluster, at the name that Kubernetes gives it."""
    spec = stateful["spec"]
    assert spec["replicas"] == workers
    assert (spec["podManagementPolicy"], spec["updateStrategy"]) == ("Parallel", {"type": "OnDelete"})
    retained = spec["persistentVolumeClaimRetentionPolicy"]
    assert retained == {"whenDeleted": "Retain", "whenScaled": "Retain"}, "all workers stop for a rescale"
    pod = spec["template"]["spec"]
    (worker,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > 60, "longer than worker.drain_timeout"
    (port,) = [one["containerPort"] for one in worker["ports"] if one["name"] == "cluster"]
    for index in range(workers):
        argv = arguments(worker, index)
        parsed(argv)
        addresses = [word.removeprefix("--address=") for word in argv if word.startswith("--address=")]
        if workers == 1:
            assert not addresses
            continue
        assert f"--process-id={index}" in argv
        place = place_among(index, addresses)
        name = stateful["metadata"]["name"]
        assert place.addresses == tuple(f"{name}-{i}.{spec['serviceName']}:{port}" for i in range(workers))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Of infra/deploy/k8s, to be changed."""
    return Path(shutil.copytree(K8S, tmp_path / "k8s"))


KUBECTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
"""


@pytest.mark.parametrize(("overlay", "workers"), [("small", 2), ("production", 5), ("production", 1)])
def test_rescale_stops_all_and_starts_as_many(copy: Path, tmp_path: Path, overlay: str, workers: int) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    folder = copy / "overlays" / overlay
    environment = {"KUBECTL": str(kubectl), "PATH": "/usr/bin:/bin"}
    run = [str(copy / "rescale.sh"), str(folder), str(workers)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{workers} workers are ready"
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [next(word for word in call if not word.startswith("-")) for call in calls] == [
        "scale", "wait", "apply", "wait"
    ]  # fmt: skip
    assert "--replicas=0" in calls[0]
    assert all("--namespace=streamgauge" in call for call in calls if call[0] != "apply")
    if renderer():
        check_cluster(named(rendered(str(folder)), "StatefulSet", "streamgauge-worker"), workers)


@pytest.mark.parametrize("workers", ["0", "-1", "x", "1.5", ""])
def test_rescale_refuses_what_is_no_number(copy: Path, workers: str) -> None:
    folder = copy / "overlays" / "small"
    before = (folder / "workers.yaml").read_text()
    done = subprocess.run([copy / "rescale.sh", folder, workers], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a number of at least 1" in done.stderr
    assert (folder / "workers.yaml").read_text() == before


@pytest.mark.parametrize(("overlay", "workers"), [("small", 1), ("production", 3)])
def test_workers_yaml_is_what_rescale_writes(copy: Path, overlay: str, workers: int) -> None:
    folder = copy / "overlays" / overlay
    subprocess.run([copy / "rescale.sh", folder, str(workers), "--write-only"], check=True)
    assert (folder / "workers.yaml").read_text() == (K8S / "overlays" / overlay / "workers.yaml").read_text()
