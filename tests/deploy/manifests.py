"""The Kubernetes manifests as `kubectl apply` would send them."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.deploy.dockerfile import ROOT

K8S = ROOT / "infra" / "deploy" / "k8s"
OVERLAYS = ("small", "production")
Manifest = dict[str, Any]


def renderer() -> list[str]:
    """A command that makes manifests of a folder; empty when this machine has none."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else []


def rendered(folder: str) -> list[Manifest]:
    """All manifests of a folder with a kustomization."""
    done = subprocess.run([*renderer(), folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def written() -> list[Manifest]:
    """Those that stand in files, without what overlays make of them."""
    files = [*sorted((K8S / "base").glob("*.yaml")), K8S / "migrate.yaml"]
    return [
        one
        for file in files
        if file.name != "kustomization.yaml"
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name of the workload, specification of its pods."""
    for one in manifests:
        if "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    """Also those that run before."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one there is."""
    (found,) = [one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def arguments(worker: Manifest, index: int) -> list[str]:
    """What Kubernetes makes of the arguments of a worker's container: $(POD_INDEX) filled in."""
    return [word.replace("$(POD_INDEX)", str(index)) for word in worker["args"]]
