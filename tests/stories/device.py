"""A board that plays the customer's protocol by hand, step by step, over paho."""

import itertools
from dataclasses import dataclass

from api import Api, Json
from client import V3, Client, Message, Will
from hub import Hub

NAME_ASSIGN = "state/nameAssign"
COMMAND = "led/command"
JOIN = "state/join"
LEAVE = "state/leave"
BACKLOG = "photoresistor/backlog"
INFO = "state/info"
STATUS = {"led": "led/status", "button": "button/status", "photoresistor": "photoresistor/status"}

# The table of the customer's protocol; ruling 1 allows any other.
RECOMMENDED_QOS = {
    COMMAND: 1,
    NAME_ASSIGN: 2,
    JOIN: 2,
    LEAVE: 2,
    "led/status": 1,
    "button/status": 0,
    "photoresistor/status": 0,
    BACKLOG: 1,
    INFO: 0,
}

_numbers = itertools.count(1)


def fresh_mac() -> str:
    """A MAC address that no other board of this run has."""
    number = next(_numbers)
    return f"5A:C0:FF:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"


@dataclass(frozen=True)
class Assignment:
    """What `state/nameAssign` gave: kept by the board until the next one."""

    name: str
    session: str

    @property
    def pair(self) -> str:
        """As it stands in payloads."""
        return f"{self.name};{self.session}"


class Device:
    """One board. `qos` in the place of the recommended levels is used for everything."""

    def __init__(
        self,
        hub: Hub,
        mac: str | None = None,
        *,
        version: int = V3,
        client_id: str | None = None,
        key: str | None = None,
        qos: int | None = None,
        keepalive: int = 5,
        bind: str = "",
        obedient: bool = True,
    ) -> None:
        self.hub = hub
        self.api = Api(hub)
        self.mac = mac or fresh_mac()
        self.version = version
        self.client_id = self.mac.replace(":", "") if client_id is None else client_id
        self.key = key
        self.keepalive = keepalive
        self.bind = bind
        self.obedient = obedient
        self.assignments: list[Assignment] = []
        self.current = Assignment("", "")
        self.client: Client
        self._qos = qos

    # -- the steps of the protocol ------------------------------------------------------------

    def boot(self) -> "Device":
        """All steps from power-on to online."""
        self.connect()
        self.listen()
        self.ask()
        self.reconnect()
        self.start()
        self.wait_online()
        return self

    def connect(self, with_will: bool = False) -> None:
        """Connects; with the will of step 4 where there is a session."""
        will = Will(LEAVE, self.current.pair, self.qos(LEAVE)) if with_will else None
        self.client = Client(
            self.hub,
            self.client_id,
            version=self.version,
            keepalive=self.keepalive,
            will=will,
            login=None if self.key is None else (self.mac, self.key),
            bind=self.bind,
            on_message=self._obey,
        )

    def listen(self) -> None:
        """Subscribes to both channels of the hub."""
        for topic in (NAME_ASSIGN, COMMAND):
            codes = self.client.subscribe(topic, qos=self.qos(topic))
            assert codes == [self.qos(topic)], f"SUBACK for {topic}: {codes}"

    def ask(self) -> Assignment:
        """Says its MAC address and takes the answer as its identity."""
        before = len(self.told())
        self.client.publish(JOIN, self.mac, self.qos(JOIN))
        self.current = self.wait_told(before + 1)[before]
        return self.current

    def reconnect(self) -> None:
        """Disconnects and connects again with the will."""
        self.client.close()
        self.connect(with_will=True)
        self.listen()

    def start(self, pair: str | None = None) -> None:
        """Says that the session starts."""
        self.client.publish(JOIN, pair or self.current.pair, self.qos(JOIN))

    def leave(self, pair: str | None = None) -> None:
        """Says that it leaves; stays connected."""
        self.client.publish(LEAVE, pair or self.current.pair, self.qos(LEAVE))

    def report(
        self, channel: str, value: int, pair: str | None = None, qos: int | None = None
    ) -> int:
        """Publishes a reading; returns the reason code of the acknowledgement."""
        topic = STATUS[channel]
        level = self.qos(topic) if qos is None else qos
        return self.client.publish(topic, f"{pair or self.current.pair};{value}", level)

    def hand_in(self, readings: list[tuple[int, int]], pair: str | None = None) -> int:
        """Publishes readings with their ages in ms; returns the acknowledgement's reason code."""
        fields = ";".join(f"{age},{level}" for age, level in readings)
        return self.client.publish(
            BACKLOG, f"{pair or self.current.pair};{fields}", self.qos(BACKLOG)
        )

    def tell(self, facts: str) -> None:
        """Says what it is."""
        self.client.publish(INFO, f"{self.current.pair};{facts}", self.qos(INFO))

    # -- what it hears ------------------------------------------------------------------------

    def told(self) -> list[Assignment]:
        """Every assignment that was heard on this connection, each of them its own."""
        heard = []
        for payload in self.client.heard(NAME_ASSIGN):
            mac, name, session = payload.split(";")
            assert mac == self.mac, f"{self.mac} was told what is meant for {mac}"
            self.hub.secrets.add(session)
            heard.append(Assignment(name, session))
        return heard

    def wait_told(self, count: int) -> list[Assignment]:
        """The assignments, once there are at least `count`."""
        self.client.wait_heard(count, NAME_ASSIGN)
        return self.told()

    def commands(self) -> list[str]:
        """The commands heard on this connection."""
        return self.client.heard(COMMAND)

    def _obey(self, message: Message) -> None:
        pair, _, value = message.payload.decode(errors="replace").rpartition(";")
        if message.topic == COMMAND and pair == self.current.pair and self.obedient:
            self.client.send("led/status", f"{pair};{value}", self.qos("led/status"))

    # -- what the hub says of it --------------------------------------------------------------

    def qos(self, topic: str) -> int:
        """The level that this board uses for a topic."""
        return RECOMMENDED_QOS[topic] if self._qos is None else self._qos

    @property
    def name(self) -> str:
        """The name that it was given last."""
        return self.current.name

    @property
    def state(self) -> str | None:
        """Its state in the API."""
        return self.api.state(self.mac)

    def wait_online(self) -> Json:
        """Its record, once it is online."""
        return self.api.wait_state(self.mac, "online")

    def wait_offline(self, within: float = 20) -> Json:
        """Its record, once it is offline."""
        return self.api.wait_state(self.mac, "offline", within)
