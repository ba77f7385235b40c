"""The main job: readings to windows, verdicts and rows."""
