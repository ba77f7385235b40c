"""The StatefulSet's workers as Kubernetes would run them, on two hosts made of network namespaces.

Each pod has an address and a volume of its own, and the name that the headless Service gives it, in a file of hosts
that all pods see in place of the cluster's DNS. Entry point, arguments, environment and the check before the start are
those of the manifests and of the image; only where Kafka and ClickHouse are, and the pace, is the test's.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM

import yaml

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.embedded.watchdog import kill_group
from tests.deploy.commands import CONFIG
from tests.deploy.dockerfile import stages
from tests.deploy.manifests import K8S, Manifest, arguments, named, written
from tests.recovery.namespaces import Doorway, Namespace, two_hosts
from tests.running import Site

ENTRY = [sys.executable, "-m", "flows.cli"]
DRAIN_S = 60.0
Doors = tuple[Doorway, Doorway]
"""To Kafka, to ClickHouse."""
_ON_POD = """
cd "$1"; mount --bind "$2" /etc/hosts; shift 2
"""


class Workers:
    """Pods of the StatefulSet. site: how this machine sees the services; takes the pods' volumes and logs."""

    def __init__(self, site: Site, hosts: Sequence[Namespace], doors: Sequence[Doors], stack: ExitStack) -> None:
        self._site = site
        self._hosts = hosts
        self._doors = doors
        self._stack = stack
        self._names = site.home / "hosts"
        self._names.touch()
        self._known: dict[str, str] = {}
        self._processes: dict[int, ChildProcess] = {}
        self._on: dict[int, int] = {}
        self._addresses = 10
        self._container: Manifest = {}
        stateful = named(written(), "StatefulSet", "streamgauge-worker")
        self._service = str(stateful["spec"]["serviceName"])
        self._name = str(stateful["metadata"]["name"])
        self._before = stateful["spec"]["template"]["spec"]["initContainers"][0]["command"]

    def rescale(self, workers: int) -> None:
        """As rescale.sh: all are stopped together, then as many started."""
        self.stop()
        self._container = _container(self._site.home / "overlay", workers)
        for index in range(workers):
            self.start(index, on=index % len(self._hosts))

    def start(self, index: int, *, on: int) -> None:
        """A pod, on one of the hosts, at an address it never had."""
        self._addresses += 1
        address = f"10.0.0.{self._addresses}"
        self._hosts[on].run("ip", "address", "add", f"{address}/24", "dev", "cable")
        self._known[f"{self._name}-{index}"] = address
        own = "".join(f"{place} {name}.{self._service}\n" for name, place in self._known.items())
        self._names.write_text(f"127.0.0.1 localhost\n{own}")
        volume = self._site.home / f"state-{self._name}-{index}"
        volume.mkdir(exist_ok=True)
        process = ChildProcess(
            f"{self._name}-{index}",
            [*self._hosts[on].enter, "unshare", "--mount", "--propagation=private", *self._argv(index, volume)],
            log=self._site.home / "worker.log",
            env=self._environment(on, address),
            stop_timeout_s=30,
        )
        self._processes[index] = self._stack.enter_context(process)
        self._on[index] = on

    def kill(self, index: int) -> None:
        """kill -9, of all that is in the pod."""
        self._processes.pop(index).kill()
        del self._on[index]

    def lose_host(self, host: int) -> None:
        """Nothing comes from it any more, and what ran on it is gone: who was connected to it is not told."""
        self._hosts[host].run("ip", "link", "set", "cable", "down")
        for index in [index for index, on in self._on.items() if on == host]:
            self.kill(index)

    def find_host(self, host: int) -> None:
        """It can be used again."""
        self._hosts[host].run("ip", "link", "set", "cable", "up")

    def stop(self) -> None:
        """SIGTERM for all at once, as `kubectl scale --replicas=0` does; each has to end well."""
        for process in self._processes.values():
            kill_group(process.pid, SIGTERM)
        ends = {name: process.wait(DRAIN_S) for name, process in self._processes.items()}
        assert not any(ends.values()), f"{ends}\n{self._site.log[-5_000:]}"
        self._processes.clear()
        self._on.clear()

    def store(self, index: int) -> Path:
        """Where a pod would have the recovery store."""
        return self._site.home / f"state-{self._name}-{index}" / ".streamgauge" / "recovery"

    def _argv(self, index: int, volume: Path) -> list[str]:
        before = [word.replace("$(POD_NAME)", f"{self._name}-{index}") for word in self._before]
        given = [
            str(K8S / "base" / "streamgauge.toml") if w == CONFIG else w for w in arguments(self._container, index)
        ]
        script = f'{_ON_POD}sh -c {_quoted(before[2])} {before[3]}; exec "$@"'
        return ["sh", "-euc", script, "sh", str(volume), str(self._names), *ENTRY, *given]

    def _environment(self, on: int, address: str) -> dict[str, str]:
        kafka, clickhouse = self._doors[on]
        seen = replace(self._site, bootstrap=f"127.0.0.1:{kafka.port}", clickhouse_port=clickhouse.port)
        of_image = {name: text for name, text in stages({})[-1].environment.items() if name.startswith("STREAMGAUGE")}
        of_test = {name: text for name, text in seen.environment.items() if "_DIR" not in name}
        here = {"HOST": "127.0.0.1", "USERNAME": "default"}
        of_test |= {f"STREAMGAUGE_CLICKHOUSE__{name}": text for name, text in here.items()}
        of_test["STREAMGAUGE_EVENT_TIME__IDLE_AFTER"] = "0s"
        listen = of_image["STREAMGAUGE_OBSERVE__LISTEN"].replace("0.0.0.0", address)
        return of_image | of_test | {"STREAMGAUGE_OBSERVE__LISTEN": listen}


@contextmanager
def workers_on_two_hosts(site: Site, broker: Broker, clickhouse: EmbeddedClickHouse) -> Iterator[Workers]:
    """None yet, see `rescale`. Raises tests.recovery.namespaces.Impossible."""
    site.home.mkdir(exist_ok=True)
    with ExitStack() as stack:
        *hosts, _ = stack.enter_context(two_hosts(site.home))
        doors = [
            (
                stack.enter_context(Doorway(host, int(broker.bootstrap.rpartition(":")[2]), kafka=True)),
                stack.enter_context(Doorway(host, clickhouse.port)),
            )
            for host in hosts
        ]
        yield Workers(site, hosts, doors, stack)


def _container(folder: Path, workers: int) -> Manifest:
    """What rescale.sh says of so many workers' containers."""
    folder.mkdir(exist_ok=True)
    shutil.copy(K8S / "overlays" / "production" / "kustomization.yaml", folder)
    subprocess.run([K8S / "rescale.sh", folder, str(workers), "--write-only"], check=True)
    spec = yaml.safe_load((folder / "workers.yaml").read_text(encoding="utf-8"))["spec"]
    assert spec["replicas"] == workers
    (container,) = spec["template"]["spec"]["containers"]
    return {"args": [str(word) for word in container["args"]]}


def _quoted(text: str) -> str:
    assert "'" not in text
    return f"'{text}'"
