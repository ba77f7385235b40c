"""A sensor's verdicts -> alert episodes: for and keep-firing, hysteresis, cool-down, severity, identity.

    readings with verdicts --> EpisodeStates --> events --> what is behind them --> rows of `alerts`, at once
    gaps, readings again ----> Silences ------'                              '----> news for groups, with the panes

Episodes move on by readings on time and in order, so they are a function of the partition's contents. What an alert
holds of readings is kept from its beginning: the reading it began with and the strongest one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.slots import resized
from operators.alert_news import Census, News
from operators.alert_rows import Alert, Evidence, alert_rows
from operators.alert_rules import AlertRule, sensor_rules
from operators.batches import Flags, Floats, Ints, ReadingBatch, Rows, Series
from operators.cadence import Cadence
from operators.detect import Verdicts
from operators.episode_evidence import Behind, reason_of
from operators.episode_states import DROP, END, FIRE, PEAK, START, EpisodeStates
from operators.records import RULES
from operators.shards import shard_of
from operators.silences import Silences

STATE_VERSION = 1


@dataclass(slots=True)
class _Open:
    """An episode that has begun. fired_ms: None while its `for` lasts.

    first: the reading it began with, None for a silence. peak: the strongest one after that, if there was one.
    """

    series: Series
    start_ms: int
    first: Behind | None = None
    peak: Behind | None = None
    fired_ms: int | None = None
    told: Evidence | None = None

    @property
    def score(self) -> float:
        """The largest; NaN for unknown."""
        scores = [one.score for one in (self.first, self.peak) if one is not None and not np.isnan(one.score)]
        return max(scores, default=np.nan)

    def evidence(self) -> Evidence:
        """What is behind it."""
        if self.told is None:
            self.told = {"last_reading": self.start_ms} if self.first is None else self.first.told()
        return {"first": self.told, "peak": self.told if self.peak is None else self.peak.told()}

    def brief(self) -> Evidence:
        """The same in a line, for groups."""
        return {"last_reading": self.start_ms} if self.first is None else self.first.brief()

    def state(self) -> tuple[Any, ...]:
        """Plain values, but for the series."""
        first, peak = (None if one is None else tuple(one) for one in (self.first, self.peak))
        return (self.start_ms, first, peak, self.fired_ms)

    @staticmethod
    def of_state(series: Series, state: Sequence[Any]) -> "_Open":
        start_ms, first, peak, fired_ms = state
        behind = [None if one is None else Behind(*one) for one in (first, peak)]
        return _Open(series, start_ms, behind[0], behind[1], fired_ms)


class Episodes:
    """Alert episodes of one shard's sensors.

    rules: all there are; those of windows and assets are left out.
    source: its "topic/partition", part of what names an alert.
    detectors: names in the order of verdicts, rules of the panel last; raw: those of them that are rules, whose level
        is one of raw scores.
    pane_ms: of the shard's panes. shards: window shards that groups are split into.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        *,
        source: str,
        detectors: Sequence[str] = (),
        raw: Sequence[str] = (),
        pane_ms: int,
        shards: int,
        generation: int = 0,
    ) -> None:
        self._rules = sensor_rules(rules)
        self._source, self._pane_ms, self._shards, self._generation = source, pane_ms, shards, generation
        self._of_readings = [one for one in self._rules if one.on != "silent"]
        self._measures = _Measures(self._of_readings, detectors, raw)
        self._states = EpisodeStates(self._of_readings, measure=self._measures.measure, rank=self._measures.rank)
        self._silences = Silences(self._rules[len(self._of_readings) :])
        self._series: list[Series | None] = []
        self._applies = np.empty((0, len(self._rules)), np.bool_)
        self._open: dict[tuple[int, int], _Open] = {}
        self._alerts: list[Alert] = []
        self._news: list[News] = []
        self._census: Counter[tuple[int, str, str]] = Counter()

    @property
    def idle(self) -> bool:
        """Whether there is no rule for it to follow."""
        return not self._rules

    def enrol(self, slots: Ints, series: Sequence[Series], sensors: int) -> None:
        """New series at these slots; there are now so many sensor slots."""
        if self.idle:
            return
        most = int(slots.max(initial=-1)) + 1
        self._series += [None] * (most - len(self._series))
        self._applies = resized(self._applies, most, False)
        for slot, one in zip(slots.tolist(), series, strict=True):
            self._series[slot] = one
        for place, rule in enumerate(self._rules):
            self._applies[slots, place] = [rule.fits(one) for one in series] if rule.chooses else True
        self._states.grow(sensors)
        self._silences.grow(sensors)

    def join(self, slots: Ints, at_ms: Ints, *, rules: Sequence[str] | None = None) -> None:
        """These series are heard of for the first time: their groups are told, of some rules or of all."""
        self._count(slots, at_ms, 1, rules)

    def _count(self, slots: Ints, at_ms: Ints, change: int, rules: Sequence[str] | None = None) -> None:
        """Of each group so many sensors more or fewer, from the end of the pane on."""
        pane_end_ms = (-(-at_ms // self._pane_ms) * self._pane_ms).tolist()
        for place, rule in enumerate(self._rules):
            if not rule.grouped or (rules is not None and rule.key not in rules):
                continue
            for slot, end_ms, counts in zip(slots.tolist(), pane_end_ms, self._applies[slots, place], strict=True):
                if counts and (series := self._series[slot]) is not None:
                    self._census[end_ms, rule.key, rule.group_of(series)] += change

    def forget(self, sensors: Ints, slots: Ints, at_ms: int) -> None:
        """These sensors with their series are gone, at a time not before any watermark sent: what is open ends."""
        if self.idle:
            return
        gone = set(sensors.tolist())
        for key in [key for key in self._open if key[0] in gone]:
            self._end(key, at_ms, at_ms, gone=True)
        self._count(slots, np.full(len(slots), at_ms), -1)
        for slot in slots.tolist():
            self._series[slot] = None
        self._states.forget(sensors)
        self._silences.forget(sensors)
        self._applies[slots] = False

    def judge(self, readings: ReadingBatch, slot: Ints, sensor: Ints, in_order: Flags, verdicts: Verdicts) -> None:
        """Readings in offset order, with their verdicts; slot, sensor: of their series and sensors."""
        if not self._of_readings or not len(slot):
            return
        measures = self._measures.of(readings.value, verdicts)
        told = self._states.step(sensor, slot, readings.time_ms, in_order, self._applies, measures)
        behind, of_row = None, -1
        for row, place, what, at_ms in zip(*(one.tolist() for one in told), strict=True):
            if what in (START, PEAK) and row != of_row:  # several rules are about one reading
                behind, of_row = Behind.of(readings, verdicts, row), row
            key, time_ms = (int(sensor[row]), place), int(readings.time_ms[row])
            if what == START:
                series = self._series[slot[row]]
                assert series is not None, "a reading's series is enrolled"
                self._open[key] = _Open(series, time_ms, behind)
            elif what == PEAK:
                self._open[key].peak = behind
            elif what == FIRE:
                self._fire(key, time_ms, time_ms)
            elif what == END:
                self._end(key, at_ms, time_ms)
            elif what == DROP:
                del self._open[key]

    def silent(self, slots: Ints, sensors: Ints, cadence: Cadence) -> None:
        """These sensors have fallen silent; slots: of the series that each spoke with last."""
        begin = len(self._of_readings)
        if begin == len(self._rules):
            return
        times = (cadence.newest_ms(slots).tolist(), cadence.overdue_ms(slots).tolist())
        for slot, sensor, start_ms, overdue_ms in zip(slots.tolist(), sensors.tolist(), *times, strict=True):
            series, places = self._series[slot], np.flatnonzero(self._applies[slot, begin:]).tolist()
            if series is None or not places or not self._silences.begin(sensor, start_ms, overdue_ms, places):
                continue
            for place in places:
                self._open[sensor, begin + place] = _Open(series, start_ms)

    def pass_time(self, watermark_ms: int) -> None:
        """The watermark has passed the end of a pane: silences count that have lasted for long enough."""
        for due in self._silences.due(watermark_ms):
            key = (due.sensor, len(self._of_readings) + due.rule)
            self._fire(key, due.at_ms, -(-due.at_ms // self._pane_ms) * self._pane_ms)

    def heard(self, sensor: Ints, time_ms: Ints) -> None:
        """Readings on time, between two ends of panes: silences end."""
        for one, at_ms in self._silences.heard(sensor, time_ms):
            for place in range(len(self._of_readings), len(self._rules)):
                if (one, place) in self._open:
                    self._end((one, place), at_ms, at_ms)

    def _fire(self, key: tuple[int, int], at_ms: int, news_ms: int) -> None:
        rule, episode = self._rules[key[1]], self._open[key]
        episode.fired_ms = at_ms
        if rule.grouped:
            self._send(rule, episode, news_ms, in_alarm=True)
        else:
            self._alerts.append(self._alert(rule, episode, at_ms))

    def _end(self, key: tuple[int, int], ended_ms: int, at_ms: int, *, gone: bool = False) -> None:
        rule, episode = self._rules[key[1]], self._open.pop(key)
        if episode.fired_ms is None:
            return
        if rule.grouped:
            self._send(rule, episode, at_ms, in_alarm=False)
        else:
            self._alerts.append(self._alert(rule, episode, at_ms, ended_ms, gone=gone))

    def _send(self, rule: AlertRule, episode: _Open, at_ms: int, *, in_alarm: bool) -> None:
        series = episode.series
        place = (at_ms, rule.key, rule.group_of(series), series.sensor_id, self._source)
        self._news.append(News(*place, in_alarm, episode.start_ms, episode.score, episode.brief()))

    def _alert(
        self, rule: AlertRule, episode: _Open, at_ms: int, ended_ms: int | None = None, *, gone: bool = False
    ) -> Alert:
        assert episode.fired_ms is not None, "only what has fired is told"
        evidence = episode.evidence()
        return Alert(
            rule=rule.name,
            severity=rule.severity,
            labels=episode.series._asdict(),
            named_by=(episode.series.sensor_id, self._source),
            started_ms=episode.start_ms,
            fired_ms=episode.fired_ms,
            updated_ms=at_ms,
            ended_ms=ended_ms,
            peak_score=episode.score,
            inhibits=rule.inhibits,
            reason=reason_of(rule, episode.series, evidence, episode.start_ms, ended_ms, gone=gone),
            evidence=evidence,
        )

    def rows(self) -> list[Rows]:
        """What was told since the last call."""
        alerts, self._alerts = self._alerts, []
        return alert_rows(alerts, self._generation)

    def news(self) -> dict[int, tuple[Census | News, ...]]:
        """What groups are to know since the last call, by window shard."""
        if not self._news and not self._census:
            return {}
        found: dict[int, list[Census | News]] = {}
        told: list[Census | News] = [*self._told_census(), *self._news]
        for one in told:
            found.setdefault(shard_of(one.group, self._shards), []).append(one)
        self._news = []
        self._census.clear()
        return {shard: tuple(some) for shard, some in found.items()}

    def _told_census(self) -> list[Census]:
        return [Census(*key, change) for key, change in self._census.items() if change]

    @property
    def nbytes(self) -> int:
        """Memory of the state but for open episodes, bytes."""
        return self._states.nbytes + self._applies.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values. `rows` has been called before."""
        rules = self._rules
        begun = tuple(
            (sensor, rules[place].key, rules[place].severity, tuple(one.series), *one.state())
            for (sensor, place), one in self._open.items()
        )
        grouped = tuple(rule.key for rule in rules if rule.grouped)
        news = (tuple(tuple(one) for one in self._told_census()), tuple(tuple(one) for one in self._news))
        return (STATE_VERSION, self._states.snapshot(), self._silences.snapshot(), begun, grouped, news)

    def load(self, state: tuple[Any, ...] | None, watermark_ms: int, present: Ints) -> None:
        """Go on from `snapshot()`, after `enrol`; None: of a program without alerts. present: slots of all series.

        Alerts of a rule that is configured no more end now; a rule that is new begins afresh.
        """
        if state is None:
            self.join(present, np.full(len(present), watermark_ms))
            return
        _, states, silences, begun, grouped, (census, news) = state
        self._states.load(states)
        self._silences.load(silences)
        self._news = [News(*one) for one in news]
        self._census = Counter({(at_ms, rule, group): change for at_ms, rule, group, change in census})
        places = {rule.key: place for place, rule in enumerate(self._rules)}
        for sensor, key, severity, series, *stored in begun:
            episode = _Open.of_state(Series(*series), stored)
            if key in places:
                self._open[sensor, places[key]] = episode
            elif episode.fired_ms is not None and key not in grouped:
                gone = AlertRule(name=key.split("\0")[0], on="is_anomaly", severity=severity)
                at_ms = max(watermark_ms, episode.fired_ms)
                self._alerts.append(self._alert(gone, episode, at_ms, at_ms, gone=True))
        added = [rule.key for rule in self._rules if rule.grouped and rule.key not in grouped]
        if added:
            self.join(present, np.full(len(present), watermark_ms), rules=added)


class _Measures:
    """What rules compare: each measure once. measure, rank: rows of `of`, by rule."""

    def __init__(self, rules: Sequence[AlertRule], detectors: Sequence[str], raw: Sequence[str]) -> None:
        self._wanted: list[tuple[str, str]] = []
        self._place = {name: place for place, name in enumerate(detectors)}
        self._raw = frozenset(raw)
        self.measure = [self._row(_measured(one)) for one in rules]
        self.rank = [self._row(_ranked(one)) for one in rules]

    def _row(self, what: tuple[str, str]) -> int:
        if what not in self._wanted:
            self._wanted.append(what)
        return self._wanted.index(what)

    def of(self, value: Floats, verdicts: Verdicts) -> Floats:
        """(measures, n); NaN for unknown."""
        found = np.empty((len(self._wanted), len(value)))
        for row, (kind, name) in enumerate(self._wanted):
            found[row] = self._column(kind, name, value, verdicts)
        return found

    def _column(self, kind: str, name: str, value: Floats, verdicts: Verdicts) -> Any:
        if kind == "value":
            return value
        if kind == "flag":
            return verdicts.flagged_by.chosen[:, self._place[name]]
        if kind == "detector":
            return (verdicts.raw if name in self._raw else verdicts.surprise).values[:, self._place[name]]
        return getattr(verdicts, kind)


def _measured(rule: AlertRule) -> tuple[str, str]:
    if rule.on == "stuck":
        return ("flag", "stuck")
    if rule.on == "detector":
        yes_or_no = rule.above is None and rule.below is None
        return ("flag" if yes_or_no else "detector", rule.of)
    return (rule.on, "")


def _ranked(rule: AlertRule) -> tuple[str, str]:
    if rule.on == "value":
        return ("value", "")
    return ("detector", rule.of) if rule.on == "detector" and rule.of not in RULES else ("score", "")
