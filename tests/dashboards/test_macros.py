"""The expansion of the plugin's macros, by the examples of its documentation."""

import pytest

from tests.dashboards.macros import Asked, Choice

ASKED = Asked(
    from_ms=1_415_792_726_123,
    to_ms=1_447_328_726_456,
    interval_ms=20_000,
    choices={"all": Choice(("a", "b"), everything=True), "some": Choice(("it's", "b"))},
)


@pytest.mark.parametrize(
    ("sql", "expanded"),
    [
        ("$__timeFilter(time)", "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)"),
        (
            "$__timeFilter_ms(t.time)",
            "t.time >= fromUnixTimestamp64Milli(1415792726123) AND t.time <= fromUnixTimestamp64Milli(1447328726456)",
        ),
        ("$__dateFilter(day)", "day >= toDate('2014-11-12') AND day <= toDate('2015-11-12')"),
        (
            "$__dt(day, time)",
            "(day >= toDate('2014-11-12') AND day <= toDate('2015-11-12')) AND "
            "(time >= toDateTime(1415792726) AND time <= toDateTime(1447328726))",
        ),
        ("$__fromTime, $__toTime", "toDateTime(1415792726), toDateTime(1447328726)"),
        ("$__interval_s", "20"),
        ("$__timeInterval(c)", "toStartOfInterval(toDateTime(c), INTERVAL 20 second)"),
        ("$__timeInterval_ms(c)", "toStartOfInterval(toDateTime64(c, 3), INTERVAL 20000 millisecond)"),
        ("$__conditionalAll(x IN (${all:singlequote}), $all)", "1=1"),
        ("$__conditionalAll(x IN (${some:singlequote}), ${some})", "x IN ('it\\'s','b')"),
        ("x IN (${all:singlequote})", "x IN ('a','b')"),
        ("$__conditionalAll(f(a, (b)) AND $__timeFilter(t), $all) AND $__interval_s", "1=1 AND 20"),
    ],
)
def test_expansion(sql: str, expanded: str) -> None:
    assert ASKED.expand(sql) == expanded


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("$__nothing(a)", "no macro"),
        ("$__timeFilter(toDateTime(a))", "not the arguments"),
        ("${some}", "singlequote"),
        ("$some", "not expanded"),
        ("$__conditionalAll(a, b, $some)", "two arguments"),
        ("$__conditionalAll(a, ${some:singlequote})", "plain variable"),
    ],
)
def test_what_would_fail_in_grafana_fails_here(sql: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ASKED.expand(sql)
