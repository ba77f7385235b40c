"""Silence by the wall clock: pure judgement, on a timeline."""

import pytest

from infra.observe.liveness import Liveness, Sign

SILENT_AFTER_S = 3


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        #  a number per second
        ("77788", {}),
        ("7777", {3: "silent"}),
        ("77777777", {3: "silent"}),
        ("7777778888", {3: "silent", 6: "heard_again", 9: "silent"}),
    ],
)
def test_silent_is_what_has_not_moved_for_so_long(progress: str, told: dict[int, str]) -> None:
    one = Liveness(SILENT_AFTER_S)
    found = {
        second: change.kind
        for second, number in enumerate(progress)
        for change in one.observe(100.0 + second, [Sign("partition", "t/0", int(number), 100.0)])
    }
    assert found == told


def test_a_flow_with_nothing_to_do_is_not_silent() -> None:
    one = Liveness(SILENT_AFTER_S)
    signs = [Sign("flow", "g", 5, 0.0, due=due) for due in (False, False, True, True, True, True)]
    changes = [change for second, sign in enumerate(signs) for change in one.observe(10.0 * second, [sign])]
    assert [(change.kind, change.subject, change.at_s) for change in changes] == [("silent", "flow g", 13.0)]


def test_what_others_heard_counts_at_first_sight() -> None:
    signs = [Sign("plant", "t", 5, 0.0), Sign("partition", "t/1", 5, 99.0), Sign("partition", "t/2", 5, 1e9)]
    one = Liveness(SILENT_AFTER_S)
    assert [change.subject for change in one.observe(100.0, signs)] == ["plant t"]
    assert one.silent == ["plant t"]


def test_another_run_goes_on_from_what_was_told() -> None:
    one = Liveness(SILENT_AFTER_S, silent=["plant t", "partition t/1"])
    signs = [Sign("plant", "t", 5, 0.0), Sign("partition", "t/1", 5, 99.0)]
    assert [(change.kind, change.subject) for change in one.observe(100.0, signs)] == [("heard_again", "partition t/1")]
