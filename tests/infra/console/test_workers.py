"""What workers tell of themselves, as the page Health has it."""

import math
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from infra.console.workers import Workers
from tests.infra.clickhouse_support import until

PAGE = """
# TYPE streamgauge_readings_total counter
streamgauge_readings_total{{outcome="ok",process="0"}} {ok}
streamgauge_readings_total{{outcome="late",process="0"}} 10
streamgauge_readings_total{{outcome="ok",process="1"}} 7
# TYPE streamgauge_source_lag_messages gauge
streamgauge_source_lag_messages{{topic="t",partition="0",process="0"}} 3
streamgauge_source_lag_messages{{topic="t",partition="1",process="0"}} 4
# TYPE streamgauge_watermark_delay_seconds gauge
streamgauge_watermark_delay_seconds{{topic="t",partition="0",process="0"}} 9.5
streamgauge_watermark_delay_seconds{{topic="t",partition="1",process="0"}} 11.5
streamgauge_watermark_delay_seconds{{topic="t",partition="2",process="0"}} NaN
# TYPE streamgauge_epoch_completed_timestamp_seconds gauge
streamgauge_epoch_completed_timestamp_seconds{{process="0"}} 98
streamgauge_epoch_completed_timestamp_seconds{{process="1"}} 0
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total{{process="0"}} {cpu}
process_cpu_seconds_total{{process="supervisor"}} 1
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{{process="0"}} 2.5e8
"""


class Worker(HTTPServer):
    """Answers /metrics with `text`."""

    text = ""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Worker)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_sums_largest_and_rates_of_each_process(worker: Worker) -> None:
    now_ms = 100_000
    workers = Workers([f"127.0.0.1:{worker.server_port}"], lambda: now_ms)
    worker.text = PAGE.format(ok=1_000, cpu=4)
    workers.look()
    first, other = workers.newest()
    assert (first.process, first.lag, first.watermark_delay_s, first.epoch_age_s) == ("0", 7, 11.5, 2)
    assert (first.readings_total, first.memory_bytes) == (1_010, 2.5e8)
    assert math.isnan(first.readings)
    assert (other.process, other.readings_total) == ("1", 7)
    assert math.isnan(other.epoch_age_s)
    now_ms += 5_000
    worker.text = PAGE.format(ok=1_500, cpu=6)
    workers.look()
    assert (workers.newest()[0].readings, workers.newest()[0].cpu) == (100, 0.4)
    now_ms += 5_000
    worker.text = PAGE.format(ok=3, cpu=1)  # started again
    workers.look()
    assert math.isnan(workers.newest()[0].readings)
    assert [one.readings_total for one in workers.course() if one.process == "0"] == [1_010, 1_510, 13]


def test_a_worker_that_is_away_or_none_is_said(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    worker.text = "<html>"
    workers = Workers([f"127.0.0.1:{port}", f"127.0.0.1:{worker.server_port}"], lambda: 0)
    workers.look()
    away, wrong = workers.newest()
    assert "refused" in away.trouble
    assert wrong.trouble
    assert math.isnan(away.lag)


def test_a_thread_looks_while_it_is_used(worker: Worker) -> None:
    worker.text = PAGE.format(ok=1, cpu=1)
    with Workers([f"127.0.0.1:{worker.server_port}"], lambda: 0) as workers:
        until(lambda: bool(workers.newest()))
    assert workers.newest()[0].lag == 7
