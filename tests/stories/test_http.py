"""Every call of the contract's section 4, its errors included."""

import datetime as dt
import http.client
import re
import socket
from contextlib import suppress
from itertools import pairwise
from urllib.parse import quote, urlencode

import pytest
from openapi_spec_validator import validate

from api import RFC3339_MILLIS, Api
from client import V5
from device import Device
from hub import Hub
from waiting import eventually

DEVICE_KEYS = {
    "mac",
    "name",
    "state",
    "first_seen",
    "last_seen",
    "joined_at",
    "left_at",
    "channels",
}


# -- devices ----------------------------------------------------------------------------------


def test_devices_are_listed_by_name(hub: Hub, api: Api) -> None:
    """`{"devices":[Device…]}`."""
    assert api.get("/devices").json() == {"devices": []}
    boards = [Device(hub).boot() for _ in range(3)]
    api.rename(boards[0].mac, "zebra")
    api.rename(boards[2].mac, "ant")
    assert [d["name"] for d in api.devices()] == ["ant", "capteur02", "zebra"]


def test_a_device_is_shown_as_the_contract_says(api: Api, board: Device) -> None:
    """Times are RFC 3339 UTC with milliseconds; a channel with no reading yet is null."""
    fresh = api.device(board.mac)
    assert set(fresh) == DEVICE_KEYS
    assert (fresh["mac"], fresh["name"], fresh["state"]) == (board.mac, "capteur01", "online")
    for key in ("first_seen", "last_seen", "joined_at"):
        assert RFC3339_MILLIS.match(fresh[key]), key
    assert fresh["left_at"] is None
    assert fresh["channels"] == {"led": None, "button": None, "photoresistor": None}

    board.report("led", 1, qos=1)
    board.report("button", 0, qos=1)
    board.report("photoresistor", 58, qos=1)
    first = api.device(board.mac)
    channels = first["channels"]
    assert set(channels["led"]) == {"value", "at", "changed_at"}
    assert channels["led"]["value"] is True
    assert channels["button"]["value"] is False
    assert set(channels["photoresistor"]) == {"value", "unit", "at", "changed_at"}
    assert (channels["photoresistor"]["value"], channels["photoresistor"]["unit"]) == (58, "%")

    def later() -> bool:
        board.report("photoresistor", 58, qos=1)
        return api.device(board.mac)["channels"]["photoresistor"]["at"] > channels["led"]["at"]

    eventually(later, "a later reading")
    light = api.device(board.mac)["channels"]["photoresistor"]
    assert light["changed_at"] == channels["photoresistor"]["changed_at"] < light["at"]
    board.report("photoresistor", 59, qos=1)
    light = api.device(board.mac)["channels"]["photoresistor"]
    assert light["changed_at"] == light["at"]


def test_a_device_is_found_by_name_in_any_case_and_by_mac(api: Api, board: Device) -> None:
    """`{device}` is a current name (percent-encoded) or a MAC."""
    for key in ("capteur01", "CAPTEUR01", board.mac, board.mac.lower()):
        assert api.device(key)["mac"] == board.mac
    assert api.get(f"/devices/{board.mac}").status == 200, "`:` may stand as it is in a path"
    api.rename("capteur01", "Été / 50 %")
    for key in ("Été / 50 %", "éTé / 50 %"):
        assert api.device(key)["mac"] == board.mac


def test_an_unknown_device_is_404_everywhere(api: Api) -> None:
    """As problem+json (looked at for every answer)."""
    for key in ("nobody", "61:EC:ED:3B:25:B1", "%", "%00", "%ff", "a%2Fb", "..", "x" * 500):
        path = f"/devices/{key if '%' in key else quote(key)}"
        assert api.get(path).status in (400, 404), key
    for method, path, body in (
        ("GET", "/devices/nobody", None),
        ("PATCH", "/devices/nobody", {"name": "somebody"}),
        ("DELETE", "/devices/nobody", None),
        ("PUT", "/devices/nobody/led", {"on": True}),
        ("GET", "/devices/nobody/readings/led", None),
        ("GET", "/devices/nobody/log", None),
        ("GET", "/nothing", None),
        ("GET", "/devices/nobody/nothing", None),
    ):
        assert api.call(method, path, body).status == 404, path
    assert api.request("GET", "/api/v2/devices").status == 404


def test_a_wrong_method_is_405(api: Api, board: Device) -> None:
    """And not a 404."""
    for method, path in (
        ("POST", "/devices"),
        ("PUT", f"/devices/{board.name}"),
        ("GET", f"/devices/{board.name}/led"),
        ("DELETE", f"/devices/{board.name}/log"),
        ("POST", "/health"),
    ):
        answer = api.call(method, path, {})
        assert answer.status == 405, path
        assert answer.headers["allow"], "RFC 9110, section 15.5.6"


def test_bodies_that_are_not_as_asked_are_refused(api: Api, board: Device) -> None:
    """400, 413, 415 or 422; nothing changes."""
    where = f"/devices/{board.name}"
    for body in (
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"name":1}',
        b'{"name":null}',
        b'{"name":["x"]}',
        b'{"nam":"x"}',
        b"\xff",
    ):
        assert api.call("PATCH", where, body).status in (400, 422), body
    huge = b'{"name":"' + b"x" * 5_000_000 + b'"}'
    with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
        assert api.call("PATCH", where, huge).status == 413
    plain = api.call("PATCH", where, b'{"name":"x"}', Content_Type="text/plain")
    assert plain.status in (200, 415)
    assert api.device(board.mac)["name"] in ("capteur01", "x")


def test_a_device_is_forgotten_with_its_readings(hub: Hub, api: Api, board: Device) -> None:
    """204; 409 while it is online; a device that comes back is a newcomer."""
    board.report("photoresistor", 58, qos=1)
    assert api.forget(board.mac).status == 409
    assert api.device(board.mac)["state"] == "online"
    board.client.close()
    board.wait_offline()
    answer = api.forget(board.name)
    assert (answer.status, answer.body) == (204, b"")
    assert api.get(f"/devices/{board.mac}").status == 404
    assert api.devices() == []
    old = board.current
    board.connect()
    board.report("photoresistor", 1, old.pair, qos=1)
    assert api.devices() == [], "its old pair is worth nothing"
    board.client.close()
    board.boot()
    assert board.name == "capteur02"
    assert api.readings(board.mac, "photoresistor") == []
    assert hub.running


def test_a_new_board_takes_the_place_of_a_broken_one(hub: Hub, api: Api, board: Device) -> None:
    """Name and history go over at once, also to a board that is online; the old one is unknown."""
    board.report("photoresistor", 10, qos=1)
    board.report("led", 1, qos=1)
    assert api.rename(board.mac, "kitchen").status == 200
    new = Device(hub).boot()
    new.report("photoresistor", 20, qos=1)
    assert api.replace("kitchen", new.mac).status == 409, "it is online"
    board.client.close()
    board.wait_offline()
    assert api.replace("kitchen", "kitchen").status == 422
    told = len(new.told())
    answer = api.replace("kitchen", new.mac.lower())
    assert answer.status == 200, answer
    device = answer.json()
    assert (device["name"], device["mac"], device["state"]) == ("kitchen", new.mac, "online")
    assert device["replaced"]["mac"] == board.mac
    assert device["channels"]["led"] is None, "the LED that was on is the broken board's"
    assert device["channels"]["photoresistor"]["value"] == 20
    assert [known["name"] for known in api.devices()] == ["kitchen"]

    # It goes on under the pair that it has, and comes back under the new one.
    new.report("photoresistor", 30, qos=1)
    assert api.led("kitchen", True).status == 200
    new.current = new.wait_told(told + 1)[told]
    assert new.name == "kitchen"
    new.reconnect()
    new.start()
    new.wait_online()
    new.report("photoresistor", 40, qos=1)
    assert api.readings("kitchen", "photoresistor") == [10, 30, 40]

    # The hub forgets nothing of it when it loses its power.
    hub.kill()
    hub.start()
    assert api.readings("kitchen", "photoresistor") == [10, 30, 40]
    assert api.undo_replacement("kitchen").status == 200
    assert api.device("kitchen")["mac"] == board.mac
    assert api.readings(new.mac, "photoresistor") == [20]
    new.boot()
    assert new.name == "capteur02"
    board.boot()
    assert board.name == "kitchen"
    assert api.undo_replacement("kitchen").status == 404


def test_a_board_may_be_replaced_before_the_new_one_has_come(
    hub: Hub, api: Api, board: Device
) -> None:
    """The first join of the new board is under the old name; the old board is a newcomer."""
    board.report("photoresistor", 10, qos=1)
    board.client.close()
    board.wait_offline()
    new = Device(hub)
    assert api.replace(board.mac, new.mac).json()["state"] == "offline"
    new.boot()
    assert new.name == "capteur01"
    new.report("photoresistor", 20, qos=1)
    assert api.readings("capteur01", "photoresistor") == [10, 20]
    board.boot()
    assert board.name == "capteur02"
    new.client.close()
    new.wait_offline()
    refused = api.undo_replacement("capteur01")
    assert refused.status == 409
    assert "capteur02" in refused.json()["detail"]


# -- readings ---------------------------------------------------------------------------------


@pytest.fixture
def measured(board: Device) -> Device:
    """A board with readings at different moments."""
    for value in range(20):
        board.report("photoresistor", value, qos=1)
    for value in (1, 0, 1):
        board.report("button", value, qos=1)
    return board


def test_readings_come_raw_and_in_order(api: Api, measured: Device) -> None:
    """`[[ms, value]…]`, oldest first."""
    answer = api.get(f"/devices/{measured.name}/readings/photoresistor?resolution=raw").json()
    assert answer["device"] == measured.mac
    assert answer["channel"] == "photoresistor"
    assert answer["resolution"] == "raw"
    points = answer["points"]
    assert [value for _, value in points] == list(range(20))
    assert all(isinstance(at, int) and at > 1_600_000_000_000 for at, _ in points)
    assert all(a[0] <= b[0] for a, b in pairwise(points))
    assert api.readings(measured.mac, "button") == [True, False, True]
    assert api.readings(measured.mac, "led") == []


def test_readings_are_cut_by_time_and_limit(api: Api, measured: Device) -> None:
    """`from` counts in and `to` does not; both as RFC 3339."""
    points = api.points(measured.mac, "photoresistor")
    assert api.points(measured.mac, "photoresistor", limit=5) in (points[:5], points[-5:])
    stamps = sorted({at for at, _ in points})
    middle = stamps[len(stamps) // 2]
    text = _rfc3339(middle)
    late = [p for p in points if p[0] >= middle]
    early = [p for p in points if p[0] < middle]
    where = {"from": text}
    assert api.points(measured.mac, "photoresistor", **where) == late
    assert api.points(measured.mac, "photoresistor", to=text) == early
    where = {"from": text.replace("Z", "+00:00")}
    assert api.points(measured.mac, "photoresistor", **where) == late
    where = {"from": text, "to": text}
    empty = api.get(f"/devices/{measured.mac}/readings/photoresistor?{urlencode(where)}")
    assert empty.status in (200, 400, 422)
    if empty.status == 200:
        assert empty.json()["points"] == []


def test_readings_are_summed_up_by_the_minute_and_the_hour(api: Api, measured: Device) -> None:
    """`[start_ms, min, mean, max, count]`; `auto` takes the finest that a chart can show."""
    path = f"/devices/{measured.name}/readings/photoresistor"
    for resolution, width in (("1m", 60_000), ("1h", 3_600_000)):
        answer = api.get(f"{path}?resolution={resolution}").json()
        assert answer["resolution"] == resolution
        points = answer["points"]
        assert 1 <= len(points) <= 2, "the stories' readings are of moments"
        assert all(start % width == 0 for start, *_ in points)
        assert sum(count for *_, count in points) == 20
        assert (points[0][1], points[-1][3]) == (0, 19)
        assert sum(mean * count for _, _, mean, _, count in points) == pytest.approx(190, abs=0.2)
        csv = api.get(f"{path}?resolution={resolution}&format=csv").text.splitlines()
        assert csv[0] == "time,min,mean,max,count"
        assert len(csv) == 1 + len(points)
    assert api.get(f"{path}?resolution=auto&limit=20").json()["resolution"] == "raw"
    assert api.get(f"{path}?resolution=auto&limit=19").json()["resolution"] == "1m"


def test_pages_of_readings_are_linked_without_gap_and_double(api: Api, measured: Device) -> None:
    """`Link` with `rel="next"`; twenty readings of a few milliseconds, seven a page."""
    path: str | None = f"/api/v1/devices/{measured.mac}/readings/photoresistor?limit=7"
    pages = []
    while path:
        answer = api.request("GET", path)
        pages.append([value for _, value in answer.json()["points"]])
        link = re.match(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path = link[1] if link else None
    assert [len(page) for page in pages] == [7, 7, 6]
    assert [value for page in pages for value in page] == list(range(20))


def _rfc3339(millis: int) -> str:
    at = dt.datetime.fromtimestamp(millis / 1000, dt.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03}Z"


@pytest.mark.parametrize(
    "query",
    ["from=yesterday", "to=", "limit=-1", "limit=many", "resolution=2m", "format=xml", "limit=0.5"],
)
def test_a_query_that_is_not_as_asked_is_refused(api: Api, measured: Device, query: str) -> None:
    """400, naming the parameter."""
    answer = api.get(f"/devices/{measured.name}/readings/photoresistor?{query}")
    assert answer.status in (400, 422)
    assert query.split("=", maxsplit=1)[0] in answer.json()["detail"]


def test_an_unknown_channel_is_404(api: Api, board: Device) -> None:
    """Led, button, photoresistor."""
    assert api.get(f"/devices/{board.name}/readings/temperature").status == 404


def test_readings_come_as_csv(api: Api, measured: Device) -> None:
    """`format=csv`: a head line, then a line for each reading."""
    answer = api.get(f"/devices/{measured.name}/readings/photoresistor?resolution=raw&format=csv")
    assert answer.status == 200
    assert answer.type == "text/csv"
    head, *lines = answer.text.splitlines()
    assert "," in head
    assert not any(character.isdigit() for character in head.split(",")[-1])
    assert [line.split(",")[-1] for line in lines] == [str(n) for n in range(20)]


# -- the log ----------------------------------------------------------------------------------


def _entries(api: Api, key: str, **query: object) -> list[dict]:
    answer = api.get(f"/devices/{quote(key)}/log?{urlencode(query)}")
    assert answer.status == 200
    (entries,) = (value for value in answer.json().values() if isinstance(value, list))
    return entries


def test_the_log_tells_what_happened_and_who_did_it(hub: Hub, api: Api, board: Device) -> None:
    """Joined, left, renamed, commands and who gave them; newest first."""
    api.led(board.mac, True)
    api.rename(board.mac, "LeBron")
    board.client.close()
    board.wait_offline()
    board.boot()
    entries = _entries(api, "LeBron", limit=100)
    kinds = [entry["event"] for entry in entries]
    for kind in ("joined", "left", "renamed", "command"):
        assert kind in kinds
    times = [entry["at"] for entry in entries]
    assert times == sorted(times, reverse=True)
    assert all(RFC3339_MILLIS.match(at) for at in times)
    renamed = next(e for e in entries if e["event"] == "renamed")
    assert (renamed["from"], renamed["to"]) == ("capteur01", "LeBron")
    assert renamed["by"]
    command = next(e for e in entries if e["event"] == "command")
    assert command["value"] is True
    assert command["by"]
    assert _entries(api, "LeBron", limit=2) == entries[:2]
    older = _entries(api, "LeBron", limit=100, before=times[0])
    assert older == [entry for entry in entries if entry["at"] < times[0]]
    board.client.drop()
    hub.kill_and_start()
    assert [e for e in _entries(api, "LeBron", limit=100) if e in entries] == entries


# -- about the hub ----------------------------------------------------------------------------


def test_health_is_ok(api: Api) -> None:
    """200 `{"status":"ok",…}` when broker and store work."""
    answer = api.get("/health")
    assert (answer.status, answer.json()["status"]) == (200, "ok")


def test_openapi_is_valid_and_complete(api: Api) -> None:
    """OpenAPI 3.1 of all of this, by a validator that is not ours."""
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    for method, path in (
        ("get", "/api/v1/devices"),
        ("get", "/api/v1/devices/{device}"),
        ("patch", "/api/v1/devices/{device}"),
        ("delete", "/api/v1/devices/{device}"),
        ("post", "/api/v1/devices/{device}/replace"),
        ("delete", "/api/v1/devices/{device}/replace"),
        ("put", "/api/v1/devices/{device}/led"),
        ("get", "/api/v1/commands/{id}"),
        ("get", "/api/v1/devices/{device}/readings/{channel}"),
        ("get", "/api/v1/devices/{device}/log"),
        ("get", "/api/v1/events"),
        ("get", "/api/v1/health"),
    ):
        base = next((s["url"].rstrip("/") for s in document.get("servers", [])), "")
        found = document["paths"].get(path) or document["paths"].get(path.removeprefix(base))
        assert found, path
        assert method in found, f"{method} {path}"


SAMPLE = re.compile(
    r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\\n])*",?)*\})? '
    r"(?P<value>[-+]?([0-9.]+([eE][-+]?[0-9]+)?|Inf|NaN))( [0-9]+)?$"
)


def test_metrics_are_prometheus_text(hub: Hub, api: Api, board: Device) -> None:
    """Each family has HELP and TYPE before its samples, once; counters end in `_total`."""
    board.report("photoresistor", 1, qos=1)
    answer = api.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.type == "text/plain"
    assert answer.text.endswith("\n")
    types: dict[str, str] = {}
    helped: set[str] = set()
    seen: set[str] = set()
    for line in answer.text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped, line
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, line
            assert kind in ("counter", "gauge", "histogram", "summary")
            types[name] = kind
        else:
            found = SAMPLE.match(line)
            assert found, f"not a sample: {line!r}"
            family = next(
                f
                for f in (found["name"], re.sub(r"_(bucket|sum|count)$", "", found["name"]))
                if f in types
            )
            assert family in helped, line
            assert types[family] != "counter" or family.endswith("_total"), line
            key = line.rsplit(" ", 1)[0]
            assert key not in seen, f"twice: {line}"
            seen.add(key)
    samples = api.metrics()
    assert any("online" in name and value == 1 for name, value in samples.items()), samples
    assert any(name.startswith("capteur_") for name in samples)
    assert hub.running


def test_counters_count(api: Api, board: Device) -> None:
    """Readings that come in can be seen from outside."""
    before = api.metrics()
    for value in range(10):
        board.report("photoresistor", value, qos=1)
    after = api.metrics()
    grown = {name for name in after if after[name] == before.get(name, 0) + 10}
    assert any("reading" in name for name in grown), grown


def test_the_page_is_there(api: Api) -> None:
    """`GET /`, and nothing of it comes from elsewhere."""
    page = api.request("GET", "/")
    assert page.status == 200
    assert page.type == "text/html"
    assert "Capteur" in page.text
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert not source.startswith(("http:", "https:", "//")), source
        if source.startswith(("data:", "#")):
            continue
        asset = api.request("GET", "/" + source.removeprefix(".").removeprefix("/"))
        assert asset.status == 200, source
    policy = page.headers.get("content-security-policy", "")
    assert "default-src" in policy
    assert "unsafe-eval" not in policy


# -- who may call -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example"])
def test_a_host_that_is_not_ours_is_refused(hub: Hub, api: Api, board: Device, host: str) -> None:
    """DNS rebinding: an IP address, `localhost`, `*.local`, or `http.hosts` are ours."""
    for method, path, body in (
        ("GET", "/api/v1/devices", None),
        ("GET", "/", None),
        ("GET", "/api/v1/events", None),
        ("PATCH", f"/api/v1/devices/{board.name}", {"name": "x"}),
    ):
        answer = api.request(method, path, body, {"Host": host})
        assert answer.status in (400, 403, 421), path
    assert api.device(board.mac)["name"] == "capteur01"
    assert hub.running


def test_our_own_hosts_are_served(start_hub) -> None:
    """With and without a port, in any case, IPv6 too."""
    hub = start_hub({"http.hosts": ["hub.example"]})
    api = Api(hub)
    for host in (
        "127.0.0.1",
        "192.168.1.7:8080",
        "[::1]:8080",
        "[fe80::1]",
        "localhost",
        "LOCALHOST:8080",
        "capteur.local",
        "hub.example",
        "Hub.Example:80",
    ):
        assert api.request("GET", "/api/v1/health", headers={"Host": host}).status == 200, host


def test_a_foreign_origin_may_not_change_anything(hub: Hub, api: Api, board: Device) -> None:
    """CSRF: requests that change something from a foreign `Origin` are refused."""
    where = f"/devices/{board.name}"
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null", "http://127.0.0.1"):
        assert api.call("PATCH", where, {"name": "x"}, Origin=origin).status == 403, origin
        assert api.call("PUT", f"{where}/led", {"on": True}, Origin=origin).status == 403
        assert api.call("DELETE", where, Origin=origin).status == 403
    assert board.commands() == []
    own = f"http://{hub.http[0]}:{hub.http[1]}"
    assert api.call("PATCH", where, {"name": "mine"}, Origin=own).status == 200
    assert api.device(board.mac)["name"] == "mine"


def test_no_other_site_may_read(api: Api) -> None:
    """No CORS header invites one."""
    answer = api.get("/devices", {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_connection_serves_many_requests(hub: Hub, board: Device) -> None:
    """Keep-alive, as browsers use it."""
    connection = http.client.HTTPConnection(*hub.http, timeout=20)
    for _ in range(50):
        connection.request("GET", f"/api/v1/devices/{board.name}")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_idle_and_half_sent_requests_hold_nobody_up(hub: Hub, api: Api, board: Device) -> None:
    """Three hundred connections that never finish their request."""
    crowd = [socket.create_connection(hub.http) for _ in range(300)]
    for held in crowd[::2]:
        held.sendall(b"GET /api/v1/devices HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    assert api.led(board.mac, True).status == 200
    assert api.get("/health").status == 200
    for held in crowd:
        held.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /api/v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        bytes(range(256)) * 16,
    ],
)
def test_what_is_not_http_is_refused(hub: Hub, api: Api, raw: bytes) -> None:
    """4xx, or the end of the connection; the hub answers the next one."""
    with socket.create_connection(hub.http, 20) as attacker:
        answer = b""
        with suppress(ConnectionError):
            attacker.sendall(raw)
            attacker.shutdown(socket.SHUT_WR)
            while data := attacker.recv(65536):
                answer += data
    assert answer == b"" or re.match(rb"HTTP/1\.[01] [45]\d\d ", answer), answer[:200]
    assert api.get("/health").status == 200


def test_session_ids_appear_nowhere_in_the_log_not_even_for_mqtt_5(hub: Hub) -> None:
    """At `info`; what else is told is looked at in every story."""
    board = Device(hub, version=V5).boot()
    board.report("led", 1, f"{board.name};1743946777.603371", qos=1)
    board.start(f"{board.name};1743946777.603371")
    board.leave()
    board.client.cut()
    board.wait_offline()
    assert board.current.session in hub.secrets
    hub.must_not_tell(hub.log(), "the log")
    assert "1743946777.603371" not in hub.log()
