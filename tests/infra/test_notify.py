"""Telling of alerts: what a receiver gets, what happens when it fails, what is spared, what a restart tells again."""

import hashlib
import hmac
import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.notify.channel import Channel, Policy, Teller
from infra.notify.everything import Everything
from infra.notify.mail import Mail
from infra.notify.message import Change, NotTold, Telling
from infra.notify.record import Record
from infra.notify.text import Words
from infra.notify.webhook import Webhook
from tests.certificates import Authority
from tests.infra.notify_support import SECRET, Hook, Post, change, serving


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving(Hook()) as server:
        yield server


class Desk:
    """A channel with a record and a clock that is set by hand."""

    def __init__(
        self,
        file: Path,
        teller: Teller,
        silenced: Any = lambda change: False,
        in_hand: Any = lambda change: False,
        **policy: Any,
    ) -> None:
        self.now_s = 1_000_000.0
        self.record = Record(file)
        self.channel = Channel(
            "c",
            teller,
            Policy(**policy),
            self.record,
            silenced=silenced,
            in_hand=in_hand,
            clock_s=lambda: self.now_s,
        )

    def take(self, *changes: Change, wait_s: float = 0) -> None:
        due_ms = round((self.now_s + wait_s) * 1000)
        self.record.take([(one, {"c": due_ms}) for one in changes])

    def work(self, after_s: float = 0) -> None:
        """Go on until there is nothing to do."""
        self.now_s += after_s
        while self.channel.turn():
            pass

    @property
    def ended(self) -> dict[str, int]:
        return {how: count for (_, how), count in self.record.counts().items()}


def test_a_webhook_gets_what_alertmanager_sends_signed(hook: Hook) -> None:
    Webhook("on-call", hook.url, secret=SECRET).tell(Telling([change(evidence={"value": 93.5})]))
    ((headers, body),) = hook.posts
    stamp, signed = (part.split("=")[1] for part in headers["X-Streamgauge-Signature"].split(","))
    assert signed == hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Streamgauge-Delivery"] == "a-1.open"
    told = json.loads(body)
    assert (told["version"], told["status"], told["receiver"]) == ("4", "firing", "on-call")
    assert told["commonLabels"] == {
        "alertname": "anomaly",
        "severity": "warning",
        "sensor_id": "a",
        "location": "hall",
    }
    (alert,) = told["alerts"]
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z")
    assert alert["fingerprint"] == "a"
    assert alert["annotations"]["summary"] == "a: anomaly, value 93.5 °C"
    assert json.loads(alert["annotations"]["evidence"]) == {"value": 93.5}


def test_a_mail_says_it_in_words() -> None:
    with serving(Post()) as post:
        mail = Mail(host="127.0.0.1", port=post.port, sender="s@x", recipients=["a@x", "b@x"], security="none")
        mail.tell(Telling([change()]))
        (message,) = post.mails
        assert message["Subject"] == "warning: a: anomaly, value 93.5 °C"
        assert message["To"] == "a@x, b@x"
        assert message["Message-ID"] == "<a-1.open@streamgauge>"
        text = message.get_content()
        assert "streamgauge alerts show a-1" in text
        assert "location: hall" in text
        post.refuse += ["550 nobody"] * 2
        with pytest.raises(NotTold, match="recipients refused: a@x, b@x") as refused:
            mail.tell(Telling([change()]))
        assert refused.value.lasting
        post.refuse += ["451 later"] * 2
        with pytest.raises(NotTold) as later:
            mail.tell(Telling([change()]))
        assert not later.value.lasting
    with pytest.raises(NotTold, match="Connection refused"):
        mail.tell(Telling([change()]))


@pytest.mark.parametrize(
    ("status", "lasting"),
    [(500, False), (429, False), (408, False), (400, True), (401, False), (302, True), (None, False)],
)
def test_what_an_answer_means(hook: Hook, status: int | None, lasting: bool) -> None:
    hook.statuses.append(status)
    with pytest.raises(NotTold) as problem:
        Webhook("h", hook.url).tell(Telling([change()]))
    assert problem.value.lasting == lasting


def test_a_slow_webhook_is_given_up_for_now(hook: Hook) -> None:
    hook.hold.clear()
    with pytest.raises(NotTold, match="timed out"):
        Webhook("h", hook.url, timeout_s=0.1).tell(Telling([change()]))
    hook.hold.set()


def test_each_change_is_told_once_in_order_also_after_a_restart(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    desk.take(change("a"), change("b"), change("a"), change("a", state="resolved"))
    desk.work()
    assert hook.told == [("a", "firing"), ("b", "firing"), ("a", "resolved")]
    desk.record.close()
    again = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    again.take(change("a"), change("a", state="resolved"), change("b"), change("b", state="resolved"))
    again.work()
    assert hook.told[3:] == [("b", "resolved")]


def test_a_channel_that_fails_rests_longer_and_longer_and_loses_nothing(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    hook.statuses += [500, None, 503]
    desk.take(change("a"), change("a", state="resolved"), change("b"))
    desk.work()
    for after_s, left in ((0.5, 2), (0.6, 1), (1.5, 1), (0.6, 0)):
        desk.work(after_s)
        assert len(hook.statuses) == left
    assert hook.told == []
    desk.work(4.1)
    assert sorted(hook.told) == [("a", "firing"), ("a", "resolved"), ("b", "firing")]
    assert hook.told.index(("a", "firing")) < hook.told.index(("a", "resolved"))


def test_the_other_side_may_say_when(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    hook.statuses, hook.retry_after = [429], "120"
    desk.take(change("a"))
    desk.work()
    desk.work(119)
    assert hook.told == []
    desk.work(2)
    assert hook.told == [("a", "firing")]


def test_what_is_refused_for_good_is_not_tried_again_nor_its_end(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    hook.statuses.append(400)
    desk.take(change("a"), change("b"), change("a", state="resolved"))
    desk.work()
    assert hook.told == [("b", "firing")]
    assert desk.ended == {"refused": 1, "told": 1, "not opened": 1}


def test_a_storm_becomes_one_summary(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url), per_minute=3)
    desk.take(*(change(f"s{n}") for n in range(2)))
    desk.work()
    desk.take(*(change(f"t{n}", severity="critical") for n in range(250)))
    desk.work()
    assert len(hook.posts) == 3
    summary = json.loads(hook.posts[2][1])
    assert (len(summary["alerts"]), summary["truncatedAlerts"]) == (100, 1)
    desk.work(61)
    assert len(hook.posts) == 5, "the rest, in two more"
    assert desk.ended == {"told": 252}


def test_what_waits_may_be_over_or_inhibited_by_then(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url), wait_ms=30_000)
    hall = change("hall", sensor_id="", rule="many", inhibits=("anomaly",))
    desk.take(change("a"), change("b"), change("c", location="roof"), wait_s=30)
    desk.work(1)
    desk.take(change("b", state="resolved"))
    desk.take(hall, wait_s=30)
    desk.work(10)
    assert hook.told == []
    desk.work(60)
    assert hook.told == [("c", "firing"), ("", "firing")]
    assert desk.ended == {"told": 2, "over": 1, "not opened": 1, "inhibited": 1}
    desk.take(
        change("hall", state="resolved", sensor_id="", rule="many", inhibits=("anomaly",)),
        change("a", state="resolved"),
    )
    desk.take(change("d"))
    desk.work()
    assert hook.told[2:] == [("", "resolved"), ("d", "firing")], "it inhibits no longer"


def test_what_people_have_silenced_and_what_a_channel_does_not_want(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url), lambda one: one.sensor_id == "a")
    desk.take(change("a"), change("b"))
    desk.work()
    assert hook.told == [("b", "firing")]
    assert desk.ended == {"silenced": 1, "told": 1}
    policy = Policy(severity="warning", resolved=False)
    assert policy.wants(change())
    assert not policy.wants(change(severity="info"))
    assert not policy.wants(change(state="resolved"))


def test_what_is_still_open_is_told_once_more_until_somebody_has_it_in_hand(tmp_path: Path, hook: Hook) -> None:
    in_hand: set[str] = set()
    desk = Desk(
        tmp_path / "n.sqlite",
        Webhook("h", hook.url),
        in_hand=lambda one: one.sensor_id in in_hand,
        repeat_ms=60_000,
    )
    desk.take(change("a"), change("b"), change("c"), change("c", state="resolved"))
    desk.work()
    first = [("a", "firing"), ("b", "firing"), ("c", "firing"), ("c", "resolved")]
    desk.work(59)
    assert hook.told == first
    desk.work(2)
    assert hook.told == [*first, ("a", "firing"), ("b", "firing")]
    keys = [headers["X-Streamgauge-Delivery"] for headers, _ in hook.posts]
    assert keys[4:] == ["a-1.open.again1", "b-1.open.again1"], "no receiver takes it for what it has"
    in_hand.add("a")
    desk.work(61)
    assert hook.told[6:] == [("b", "firing")]
    hook.statuses = [400]  # b cannot be repeated
    desk.work(61)
    desk.take(change("a", state="resolved"), change("b", state="resolved"))
    desk.work(61)
    assert hook.told[7:] == [("a", "resolved"), ("b", "resolved")], "who was told of the beginning hears of the end"
    assert desk.ended == {"told": 6}


def test_a_record_from_before_there_were_repeats_goes_on(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    desk.take(change("a"))
    desk.record.close()
    with closing(sqlite3.connect(tmp_path / "n.sqlite")) as old:
        old.execute("ALTER TABLE lines DROP COLUMN repeats")
    again = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    again.work()
    assert hook.told == [("a", "firing")]


def test_templates_fill_in_and_their_mistakes_are_told() -> None:
    words = Words("[$severity] $sensor_id in $location\n", "$$ $reason ($labels), since $since")
    over = Telling([change(state="resolved")])
    assert words.title(over) == "[warning] a in hall"
    assert words.body(over) == (
        "$ a: anomaly, value 93.5 °C (sensor_id: a, location: hall), "
        "since 2026-01-01T00:00:00.000Z until 2026-01-01T00:05:00.000Z\n"
    )
    usual = Words()
    assert usual.title(over) == "resolved: a: anomaly, value 93.5 °C"
    assert usual.title(Telling([change()], repeat=2)).startswith("still warning: ")
    summary = Telling([change("a"), change("b", severity="critical")], summary=True, left_out=3)
    assert usual.title(summary) == "5 alerts at once: critical at most"
    assert usual.body(summary).endswith("\n\nand 3 more: streamgauge alerts list\n")
    hostile = change(reason="$severity ${x} $(rm) %s {0.__class__}")
    assert Words("$reason").title(Telling([hostile])) == hostile.reason, "what is filled in is not looked at again"
    with pytest.raises(ValueError, match=r"there is no \$sensor; there are alert_id"):
        Words(body="$sensor")
    with pytest.raises(ValueError, match=r"write \$\$ for the sign"):
        Words(title="5 $ or so")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # in a package that apprise uses
def test_apprise_tells_in_words_and_its_address_stays_secret(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    place = hook.url.removeprefix("http://").replace("127.0.0.1", "user:hunter22@127.0.0.1")
    channel = Everything(f"json://{place}?token=verysecret", Words("$severity"))
    channel.tell(Telling([change(severity="critical")]))
    ((_, body),) = hook.posts
    told = json.loads(body)
    assert (told["title"], told["type"]) == ("critical", "failure")
    assert "streamgauge alerts show a-1" in told["message"]
    assert "JSON" in channel.reach()
    hook.statuses = [500]
    with pytest.raises(NotTold, match=r"JSON: .*500") as refused:
        channel.tell(Telling([change()]))
    assert not refused.value.lasting
    with pytest.raises(ValueError, match="does not understand its address") as unknown:
        Everything("slak://T0K3N123/secret99", Words())
    said = str(refused.value) + str(unknown.value) + caplog.text + repr(channel.__dict__["_told_by"])
    assert not [one for one in ("hunter22", "verysecret", "T0K3N123", "secret99") if one in said]


def test_certificates_and_logins_that_are_wrong_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path / "ca")
    for name, expired in (("old", True), ("good", False)):
        cert, key = authority.issue(name, expired=expired)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
        hook = Hook()
        hook.socket = tls.wrap_socket(hook.socket, server_side=True)
        with serving(hook):
            channel = Webhook("h", hook.url.replace("http:", "https:"))
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            with pytest.raises(NotTold, match="TLS: unable to get local issuer certificate") as problem:
                channel.tell(Telling([change()]))
            assert not problem.value.lasting, "a certificate can be mended"
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
            if expired:
                with pytest.raises(NotTold, match="TLS: certificate has expired"):
                    channel.reach()
                with pytest.raises(NotTold, match="TLS: certificate has expired"):
                    channel.tell(Telling([change()]))
            else:
                channel.tell(Telling([change()]))
                assert "is there" in channel.reach()
    with serving(Post()) as post:
        mail = Mail(host="127.0.0.1", port=post.port, sender="s@x", recipients=["a@x"], security="none")
        assert "lets us in" in mail.reach()
        with pytest.raises(NotTold, match=f"127.0.0.1:{post.port}: "):
            replace(mail, security="starttls").reach()
        assert not post.mails


def test_what_was_told_long_ago_is_forgotten(tmp_path: Path, hook: Hook) -> None:
    desk = Desk(tmp_path / "n.sqlite", Webhook("h", hook.url))
    desk.take(change("a"), change("a", state="resolved"))
    desk.work()
    desk.record.forget(round(desk.now_s * 1000) + 1)
    assert desk.ended == {}
