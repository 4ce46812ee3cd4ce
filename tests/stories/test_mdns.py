"""The hub's name on the network, as python-zeroconf sees it over the loopback interface."""

import secrets
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from hub import Hub
from waiting import eventually

HTTP, MQTT = "_http._tcp.local.", "_mqtt._tcp.local."


@pytest.fixture
def name() -> str:
    """A name that no other hub of this machine has, and that does not end with a number."""
    return f"capteur-{secrets.token_hex(4)}-x"


@pytest.fixture
def network() -> Iterator[Zeroconf]:
    """Another machine on the network, which is this one alone."""
    other = Zeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    yield other
    other.close()


def told(name: str) -> dict[str, Any]:
    """Settings of a hub that is told on the loopback interface."""
    return {"mdns.name": name, "mdns.interfaces": ["lo"]}


def find(network: Zeroconf, kind: str, name: str) -> ServiceInfo:
    """A service once it is found."""
    return eventually(
        lambda: network.get_service_info(kind, f"{name}.{kind}", timeout=1000), f"{name}.{kind}"
    )


def test_the_page_and_the_broker_are_found(start_hub, network: Zeroconf, name: str) -> None:
    """Name, address and ports are the hub's own; its page answers under that name."""
    hub: Hub = start_hub(told(name))
    page, broker = find(network, HTTP, name), find(network, MQTT, name)
    for service, port in ((page, hub.http[1]), (broker, hub.mqtt[1])):
        assert service.server == f"{name}.local."
        assert service.parsed_addresses() == ["127.0.0.1"]
        assert service.port == port
    assert page.decoded_properties == {"path": "/"}
    assert broker.text == b"\0", "an empty TXT record (RFC 6763, section 6.1)"

    url = f"http://127.0.0.1:{page.port}/"
    request = urllib.request.Request(url, headers={"Host": f"{name}.local:{page.port}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_a_hub_that_stops_says_goodbye(start_hub, network: Zeroconf, name: str) -> None:
    """Who browses for pages sees it come and go, without waiting for a time to live to pass."""
    changes: list[ServiceStateChange] = []

    def note(
        zeroconf: Zeroconf,  # noqa: ARG001
        service_type: str,  # noqa: ARG001
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if name == mine:
            changes.append(state_change)

    mine = f"{name}.{HTTP}"
    browser = ServiceBrowser(network, HTTP, handlers=[note])
    hub: Hub = start_hub(told(name))
    eventually(lambda: ServiceStateChange.Added in changes, "the hub's page")
    assert hub.stop() == 0
    eventually(lambda: changes[-1] is ServiceStateChange.Removed, "the hub's goodbye")
    browser.cancel()


def test_a_name_that_another_machine_has_gets_a_number(
    start_hub, network: Zeroconf, name: str
) -> None:
    """The log warns and says which name holds; all that the hub tells is under that name.

    This library does not defend its name when it is asked for, as RFC 6762 wants it: it is found
    out a few seconds later.
    """
    other = ServiceInfo(
        "_other._tcp.local.",
        f"{name}._other._tcp.local.",
        port=1,
        server=f"{name}.local.",
        addresses=[socket.inet_aton("127.0.0.77")],
    )
    network.register_service(other)
    hub: Hub = start_hub(told(name))
    for kind in (HTTP, MQTT):
        service = find(network, kind, f"{name}-2")
        assert service.server == f"{name}-2.local."
        assert service.parsed_addresses() == ["127.0.0.1"]
    (warning,) = [line for line in hub.log().splitlines() if " WARN " in line]
    assert f"{name}.local" in warning
    assert f"{name}-2.local" in warning


def test_a_hub_for_this_machine_alone_says_nothing(start_hub, name: str) -> None:
    """Listening on loopback, which the other stories and the demo do; or without a name."""
    for settings in ({"mdns.name": name}, told("")):
        hub: Hub = start_hub(settings)
        assert hub.stop() == 0
        assert ".local" not in hub.log()
