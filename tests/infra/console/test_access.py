"""Who gets into the console, and with what."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.websockets import WebSocketDisconnect

from infra.console.access.users import Users
from tests.infra.console.access_support import IDLE_MS, LONGEST_MS, PASSWORD, csrf, log_in, site

ACK = "/api/alerts/ack"


def test_without_a_session_nothing_is_served_but_the_way_in(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.browser()
        page = browser.get("/?from=now-1h", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2F%3Ffrom%3Dnow-1h")
        for path in ("/api/live", "/api/stream", "/api/me", "/nowhere"):
            assert browser.get(path).status_code == 401, path
        assert browser.post(ACK).status_code == 401
        assert "not logged in" in browser.get("/api/live").json()["error"]
        assert browser.get("/static/login.css").status_code == 200, "the login page's own style"
        assert browser.get("/login").status_code == 200
        assert browser.get("/health/live").json() == {"status": "ok"}, "probes have no login"
        assert browser.post("/static/login.css").status_code == 401
        with pytest.raises(WebSocketDisconnect), browser.websocket_connect("/api/live"):
            pass


def test_a_session_is_a_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.browser()
        answer = log_in(browser, "Vera ", next="/?from=now-1h")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?from=now-1h")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie, "over plain HTTP the browser would drop it"
        assert browser.get("/").text == "a page"
        assert browser.get("/api/live").json()["who"] == "vera"
        secure = log_in(console.browser(url="https://plant.example"), "vera").headers["set-cookie"]
        assert secure.startswith("__Host-streamgauge=")
        assert "Secure" in secure.split("; ")


def test_the_server_keeps_no_session_id_and_no_password(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.logged_in("vera")
        identity = browser.cookies["streamgauge"]
        stored = b"".join(file.read_bytes() for file in console.file.parent.iterdir())
        assert identity.encode() not in stored
        assert PASSWORD.encode() not in stored
        for file in console.file.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name


def test_a_login_never_leads_to_another_site(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        for going_to in (
            "//evil.example",
            "https://evil.example/",
            "/\\evil.example",
            "javascript:alert(1)",
            "/login",
            "/\n",
        ):
            assert log_in(console.browser(), "vera", next=going_to).headers["location"] == "/", going_to
        page = console.browser().get("/login", params={"next": '/"><script>alert(1)</script>'}).text
        assert "<script>" not in page


def test_a_session_ends_when_it_is_idle_and_after_its_longest_time(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.logged_in("vera")
        console.now_ms += IDLE_MS - 1
        assert browser.get("/api/live").status_code == 200
        console.now_ms += IDLE_MS - 1
        assert browser.get("/api/live").status_code == 200, "it was not idle"
        console.now_ms += IDLE_MS + 1
        assert browser.get("/api/live").status_code == 401

        busy = console.logged_in("vera")
        begun_ms = console.now_ms
        while console.now_ms - begun_ms + IDLE_MS - 1 <= LONGEST_MS:
            console.now_ms += IDLE_MS - 1
            assert busy.get("/api/live").status_code == 200
        console.now_ms = begun_ms + LONGEST_MS + 1
        assert busy.get("/api/live").status_code == 401


def test_a_stream_does_not_outlive_its_session(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.logged_in("vera")
        answer = browser.get("/api/stream")
        assert answer.status_code == 200
        assert answer.text.startswith("data: 0\n\n")
        assert len(console.streamed) < 1_000, "a stream's clock runs on by a minute a message, beyond the longest time"


def test_logging_out_ends_this_session_alone(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        here, there = console.logged_in("vera"), console.logged_in("vera")
        identity = here.cookies["streamgauge"]
        assert here.post("/logout", headers=csrf(here)).status_code == 204
        assert "streamgauge" not in here.cookies
        here.cookies["streamgauge"] = identity
        assert here.get("/api/live").status_code == 401, "the server has forgotten it, not only the browser"
        assert there.get("/api/live").status_code == 200


def test_another_password_or_role_logs_out_everywhere(tmp_path: Path) -> None:
    def remove_and_add(users: Users) -> None:
        users.remove("vera")
        users.add("vera", "viewer", PASSWORD)

    with site(tmp_path) as console:
        changes: tuple[Callable[[Users], None], ...] = (
            lambda users: users.change_password("vera", "another long password"),
            lambda users: users.change_role("vera", "operator"),
            remove_and_add,
            lambda users: users.remove("vera"),
        )
        for change in changes:
            users = console.users()
            users.change_password("vera", PASSWORD)
            browsers = [console.logged_in("vera") for _ in range(2)]
            other = console.logged_in("otto")
            change(users)
            assert [one.get("/api/live").status_code for one in browsers] == [401, 401]
            assert other.get("/api/live").status_code == 200


def test_who_may_look_may_not_act(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        for name, role, status in (("vera", "viewer", 403), ("otto", "operator", 200), ("anna", "admin", 200)):
            browser = console.logged_in(name)
            me = browser.get("/api/me").json()
            assert (me["name"], me["role"], me["may_act"], me["login"]) == (name, role, status == 200, True)
            answer = browser.post(ACK, headers=csrf(browser))
            assert answer.status_code == status, name
        viewer = console.logged_in("vera")
        assert "this takes an operator" in viewer.post(ACK, headers=csrf(viewer)).text
        assert [entry.actor for entry in console.audit() if entry.action == "ack"] == ["otto", "anna"]


def test_what_changes_something_carries_the_sessions_own_token(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        mine, other = console.logged_in("otto"), console.logged_in("otto")
        for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "0" * 64}, csrf(other)):
            answer = mine.post(ACK, headers=headers)
            assert (answer.status_code, "X-CSRF-Token" in answer.text) == (403, True), headers
            assert mine.post("/logout", headers=headers).status_code == 403
        assert mine.post(ACK, headers=csrf(mine)).status_code == 200


@pytest.mark.parametrize("login", [True, False])
def test_pages_of_other_sites_cannot_act(tmp_path: Path, login: bool) -> None:
    with site(tmp_path, login=login) as console:
        if login:
            browser, own = console.logged_in("otto"), "http://plant.example"
        else:
            browser, own = console.browser("127.0.0.1", url="http://127.0.0.1:8090"), "http://127.0.0.1:8090"
        token = csrf(browser)
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": own, "sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            assert browser.post(ACK, headers={**token, **headers}).status_code == 403, headers
            assert browser.post("/login", headers=headers, data={}).status_code == 403, "nor log somebody in"
        for headers in ({"origin": own}, {"sec-fetch-site": "same-origin"}):
            assert browser.post(ACK, headers={**token, **headers}).status_code == 200, headers


def test_a_request_that_changes_something_is_small(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.logged_in("otto")
        assert browser.post(ACK, headers=csrf(browser), content=b"x" * 64_001).status_code == 413
        assert browser.post(ACK, headers=csrf(browser), content=iter([b"x"])).status_code == 413, (
            "chunked, of any length"
        )


def test_on_loopback_everybody_is_local_but_only_there(tmp_path: Path) -> None:
    with site(tmp_path, login=False) as console:
        browser = console.browser("127.0.0.1", url="http://localhost:8090")
        assert browser.get("/api/me").json() == {
            "name": "local",
            "role": "admin",
            "may_act": True,
            "csrf": "",
            "login": False,
        }
        assert browser.post(ACK).status_code == 200
        assert browser.get("/login").headers["location"] == "/"
        assert [(entry.actor, entry.action) for entry in console.audit()][-1] == ("local", "ack")
        for url in ("http://127.0.0.1", "http://[::1]:8090"):
            assert console.browser(url=url).get("/api/live").status_code == 200
        rebound = console.browser("127.0.0.1", url="http://evil.example")
        assert rebound.get("/api/live").status_code == 403, "a name of another site that points here"
        told = browser.get("/", headers={"x-forwarded-for": "203.0.113.9"})
        assert (told.status_code, "console.proxies" in told.text) == (403, True), "a proxy nobody told us of"


def test_every_answer_has_the_headers_that_keep_browsers_safe(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.logged_in("vera")
        answers = [browser.get(path) for path in ("/", "/api/live", "/login", "/nowhere", "/static/login.css")]
        answers += [browser.post(ACK), console.browser().get("/api/live")]
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src 'self';" in policy, "no script but from files of ours"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"
        assert [answer.headers.get("cache-control") for answer in answers[:4]] == ["no-store"] * 4


def test_a_proxy_is_believed_only_when_it_is_named(tmp_path: Path) -> None:
    forwarded = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https", "host": "plant.example"}
    with site(tmp_path, proxies=("10.0.0.0/8",)) as console:
        for address, seen, cookie in (
            ("10.1.2.3", "198.51.100.7", "__Host-streamgauge"),
            ("203.0.113.9", "203.0.113.9", "streamgauge"),
        ):
            browser = console.browser(address, headers=forwarded)
            assert log_in(browser, "vera").headers["set-cookie"].startswith(f"{cookie}=")
            assert console.audit()[-1].address == seen
