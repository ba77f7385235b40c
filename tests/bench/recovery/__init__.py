"""What recovery costs and how fast it is, on `streamgauge run` as in production; `python -m tests.bench.recovery`."""
