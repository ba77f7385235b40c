"""Builds the image without a container engine, and runs what is in it.

Each stage is a folder that commands see as `/`: chroot in a mount namespace, with this machine's /usr and Python,
read-only, in place of the base image. COPY, RUN, ENV, WORKDIR, USER, ENTRYPOINT are carried out as they stand. It does
not show that the base image has all that this machine has, nor what an engine makes of layers.

`make image` has it all fetched by pip. The tests have no time for that: there `pip` is stood in for by links to the
packages of the environment they run in, which came by the same lock file, and the wheel is made by hatchling here.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.deploy.dockerfile import ROOT, Stage, Step, ignored

SITE = Path(sysconfig.get_path("purelib"))
_IN_IMAGE = Path("opt/streamgauge/lib") / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
_PACKAGES = Path("/packages")
"""Where the environment's packages are seen inside: not at their own path, which may be below /tmp."""
_PIP = "/build/bin/pip"
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_FOR_PIP = re.compile(r"(?i)^(pip|ssl)_|_proxy$")
_MOUNT = """
root="$1" python="$2" packages="$3" state="$4" workdir="$5"; shift 5
mount --bind "$root" "$root"
cd "$root"
mount --rbind /dev dev
mount --bind /usr usr
mount -o remount,bind,ro usr
# Its libraries are looked for where it was built for, too.
[ "$python" = /usr ] || { mkdir -p ".$python"; mount --bind "$python" ".$python"; mount --bind "$python" usr/local; }
if [ -n "$packages" ]; then
    mkdir -p packages
    mount --bind "$packages" packages
    mount -o remount,bind,ro packages
fi
mount -t proc proc proc
if [ -n "$state" ]; then
    mount -t tmpfs tmpfs tmp
    mount --bind "$state" var/lib/streamgauge
    mount -o remount,bind,ro "$root"
fi
exec chroot . sh -c 'cd "$0" && exec "$@"' "$workdir" "$@"
"""


def impossible() -> str:
    """Why this machine cannot do it, in one line; empty when it can."""
    missing = [tool for tool in ("chroot", "mount", "setpriv", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"no scratch root: {', '.join(missing)} not found (Debian: coreutils, mount, util-linux)"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no scratch root: {tried.stderr.strip()}" if tried.returncode else ""


class Image:
    """A stage in a folder. pip: whether pip itself is run, or stood in for."""

    def __init__(self, stage: Stage, root: Path, *, pip: bool, others: Mapping[str, "Image"]) -> None:
        self.stage = stage
        self.root = root
        self._pip = pip
        self._others = others

    def build(self) -> None:
        """Raises AssertionError with what a step has said that failed."""
        for name in ("usr", "dev", "proc", "sys", "tmp", "opt", "var/lib", "root", "home"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copytree("/etc", self.root / "etc", symlinks=True, ignore=shutil.ignore_patterns("*shadow*", "*.key"))
        for step in self.stage.steps:
            self._inside(step.workdir).mkdir(parents=True, exist_ok=True)
            if step.instruction == "COPY":
                self._copy(step)
            elif step.instruction == "RUN" and (self._pip or _PIP not in step.text):
                self._run(step, step.text)
            elif step.instruction == "RUN":
                self._stand_in(step)

    def started_as(self, *arguments: str, state: Path, environment: Mapping[str, str]) -> list[str]:
        """A command that runs the image with these arguments, as process 1 of a container of its own.

        Its root file system is read-only but for /tmp, empty in the beginning, and `state` as /var/lib/streamgauge.
        """
        os.chown(state, *map(int, self.user))
        variables = {"PATH": _PATH, "HOME": "/"} | self.stage.environment | dict(environment)
        entry = self.stage.last("ENTRYPOINT").words
        return self._entering([*self._as_user(), *entry, *arguments], variables, self.stage.workdir, state=state)

    @property
    def user(self) -> tuple[str, str]:
        """Numbers of user and group."""
        user, _, group = self.stage.last("USER").text.partition(":")
        return user, group

    def _as_user(self) -> list[str]:
        user, group = self.user
        limits = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        return ["setpriv", f"--reuid={user}", f"--regid={group}", *limits]

    def _entering(
        self, argv: Sequence[str], variables: Mapping[str, str], workdir: str, *, state: Path | None = None
    ) -> list[str]:
        packages = "" if self._pip else str(SITE)
        apart = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        given = [str(self.root), sys.base_prefix, packages, str(state or ""), workdir]
        values = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        return [*apart, "sh", "-euc", _MOUNT, "sh", *given, *values, *argv]

    def _run(self, step: Step, script: str) -> None:
        variables = {"PATH": _PATH, "HOME": "/root"} | dict(step.environment)
        if self._pip:
            variables |= {name: text for name, text in os.environ.items() if _FOR_PIP.search(name)}
        argv = self._entering(["sh", "-c", script], variables, step.workdir)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"RUN {script}\n{done.stdout}\n{done.stderr}"

    def _copy(self, step: Step) -> None:
        *sources, target = [word for word in step.words if not word.startswith("--")]
        origin = next((word.removeprefix("--from=") for word in step.words if word.startswith("--from=")), "")
        place = self._inside(step.workdir) / target if not target.startswith("/") else self._inside(target)
        for source in sources:
            if origin:
                _copied(self._others[origin].root / source.lstrip("/"), place, keep=lambda _: True)
                continue
            assert not ignored(source), f"COPY {source}: .dockerignore keeps it from the build"
            file = ROOT / source
            into = place / file.name if target.endswith("/") else place
            _copied(file, into, keep=lambda path: not ignored(str(path.relative_to(ROOT))))

    def _stand_in(self, step: Step) -> None:
        for part in step.text.split(" && "):
            words = shlex.split(part)
            if part.startswith("python -m venv /build") or "tools.txt" in part or "pip.txt" in part:
                continue
            if words[0] != _PIP:
                self._run(step, part)
            elif "requirements.lock" in words:
                wanted = self._inside(step.workdir) / "extras.txt"
                assert not wanted.read_text().strip(), "extras: only with pip"
                _link_packages(self.root / _IN_IMAGE)
            elif words[1] == "wheel":
                self._make_wheel(step)
            else:
                self._install_wheel()

    def _make_wheel(self, step: Step) -> None:
        argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(self.root / "wheel")]
        subprocess.run(argv, cwd=self._inside(step.workdir), check=True, capture_output=True)

    def _install_wheel(self) -> None:
        (wheel,) = (self.root / "wheel").glob("*.whl")
        with zipfile.ZipFile(wheel) as file:
            file.extractall(self.root / _IN_IMAGE)
        script = self.root / "opt/streamgauge/bin/streamgauge"
        script.write_text("#!/opt/streamgauge/bin/python\nfrom flows.cli import main\nmain()\n")
        script.chmod(0o755)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")


def _copied(source: Path, target: Path, *, keep: Callable[[Path], bool]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy(source, target)
        return

    def leave_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == "__pycache__" or not keep(Path(folder) / name)]

    shutil.copytree(source, target, symlinks=True, ignore=leave_out, dirs_exist_ok=True)


def _link_packages(target: Path) -> None:
    """What requirements.lock names, and nothing else, from the environment that this runs in."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # of another system
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (target / top).is_symlink():
                (target / top).symlink_to(_PACKAGES / top)
