"""One-minute windows of each sensor by Quix Streams. Runs by itself in an environment that has quixstreams.

Arguments: bootstrap servers, topic, a directory for its state. Prints one JSON line. It stops when nothing has come for
some seconds: `run(count=...)` of 3.28 waited for ever with the embedded broker.
"""

import json
import logging
import resource
import sys
import time

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Max, Mean, Min

WINDOW_MS, GRACE_MS = 60_000, 10_000
_NOTHING_S = 15.0


def main() -> None:
    """Read what there is; windows are closed by the event time of their partition."""
    bootstrap, topic_name, home = sys.argv[1:]
    logging.disable(logging.WARNING)
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{topic_name}-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=home,
        loglevel=None,
    )
    topic = app.topic(topic_name, value_deserializer="json", timestamp_extractor=lambda value, *_: value["timestamp"])
    closed = {"windows": 0, "counted": 0}

    def take(window: dict) -> None:  # type: ignore[type-arg]
        closed["windows"] += 1
        closed["counted"] += window["count"]

    frame = app.dataframe(topic)
    windows = frame.tumbling_window(WINDOW_MS, grace_ms=GRACE_MS).agg(
        count=Count(), mean=Mean("value"), min=Min("value"), max=Max("value")
    )
    windows.final(closing_strategy="partition").update(take)
    app.run(timeout=_NOTHING_S)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**closed, "cpu_s": used.ru_utime + used.ru_stime, "peak_kb": used.ru_maxrss}), flush=True)


if __name__ == "__main__":
    main()
