"""`make image`: all steps of the Dockerfile, as they stand, in a scratch root; what came out, and that it runs."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.deploy.dockerfile import stages
from tests.deploy.image import Image, impossible


def main() -> int:
    """The exit code: 0 when the image's command runs."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--extras", default="", help="as --build-arg EXTRAS")
    extras = asked.parse_args().extras
    if why := impossible():
        print(why)
        return 1
    build, final = stages({"EXTRAS": extras})
    with tempfile.TemporaryDirectory(prefix="streamgauge-image-") as folder:
        home = Path(folder)
        images: dict[str, Image] = {}
        home.chmod(0o755)
        for name, stage in (("build", build), ("image", final)):
            began_s = time.monotonic()
            images[name] = Image(stage, home / name, pip=True, others=dict(images))
            images[name].build()
            print(f"stage {name}: {time.monotonic() - began_s:.0f} s", flush=True)
        print(f"extras: {extras or 'none'}; beside the base image it has:")
        added = home / "image" / "opt" / "streamgauge"
        subprocess.run(["du", "--summarize", "--human-readable", added, added / "kernels"], check=True)
        state = home / "state"
        state.mkdir()
        for command in ("--version", "explain"):
            argv = images["image"].started_as(command, state=state, environment={"COLUMNS": "100"})
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
            print(f"streamgauge {command}: exit code {done.returncode}, {len(done.stdout):,} characters{done.stderr}")
            if done.returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
