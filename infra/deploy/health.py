"""Asks a service whether it is well, for container engines that run a command: `python -m infra.deploy.health [URL]`.

Exit code 0 when it answers 200, else 1 with what it said.
"""

import sys
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

URL = "http://127.0.0.1:9464/health/live"
"""Where the image's STREAMGAUGE_OBSERVE__LISTEN puts it."""
_TIMEOUT_S = 4.0
_MOST_BYTES = 2_000


def main(arguments: list[str]) -> int:
    """The exit code."""
    url = arguments[0] if arguments else URL
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_TIMEOUT_S):
            return 0
    except HTTPError as error:
        with error:
            said = error.read(_MOST_BYTES).decode(errors="replace").strip()
    except (OSError, HTTPException, ValueError) as error:
        said = str(error)
    print(f"{url}: {said}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
