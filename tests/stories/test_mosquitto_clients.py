"""mosquitto_pub, mosquitto_sub and mosquitto_rr: what people have in their shells."""

import subprocess
from collections.abc import Iterator
from itertools import product

import pytest

from api import Api
from device import fresh_mac
from hub import Hub
from waiting import eventually

VERSIONS = ["mqttv311", "mqttv5"]


class Shell:
    """Runs mosquitto's clients against one hub, and ends what it started."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.where = ["-h", hub.mqtt[0], "-p", str(hub.mqtt[1])]
        self._started: list[subprocess.Popen[str]] = []

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(
            [program, *self.where, *arguments],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    def pub(self, *arguments: str) -> None:
        """mosquitto_pub, which has to succeed."""
        ended = self.run("mosquitto_pub", *arguments)
        assert ended.returncode == 0, ended.stderr

    def sub(self, *arguments: str) -> subprocess.Popen[str]:
        """mosquitto_sub in the background, once it is subscribed; at most 30 s."""
        command = ["stdbuf", "-oL", "mosquitto_sub", *self.where, "-d", "-W", "30", *arguments]
        started = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._started.append(started)
        assert started.stdout is not None
        for line in started.stdout:
            if line.startswith("Subscribed"):
                return started
        raise AssertionError(f"{arguments}: not subscribed")

    @staticmethod
    def lines(sub: subprocess.Popen[str]) -> list[str]:
        """What a mosquitto_sub that ends by itself has printed, without its own remarks."""
        out, _ = sub.communicate(timeout=40)
        remarks = ("Client ", "Subscribed", "Received", "Sending")
        return [line for line in out.splitlines() if not line.startswith(remarks)]

    def close(self) -> None:
        """Ends everything."""
        for started in self._started:
            if started.poll() is None:
                started.kill()
            started.communicate()


@pytest.fixture
def shell(open_hub: Hub) -> Iterator[Shell]:
    """mosquitto's clients at an open hub."""
    made = Shell(open_hub)
    yield made
    made.close()


def test_publish_and_subscribe_between_all_levels_and_qos(shell: Shell) -> None:
    """2 x 2 protocol levels, 3 levels of QoS."""
    for listens, qos in product(VERSIONS, "012"):
        sub = shell.sub("-V", listens, "-q", qos, "-t", "house/+/lamp", "-C", "2", "-F", "%t %q %p")
        for speaks in VERSIONS:
            shell.pub("-V", speaks, "-q", qos, "-t", "house/1/lamp", "-m", f"from {speaks}")
        assert shell.lines(sub) == [f"house/1/lamp {qos} from {speaks}" for speaks in VERSIONS]


def test_retained_messages(shell: Shell) -> None:
    """-r keeps, -n -r deletes."""
    shell.pub("-r", "-q", "1", "-t", "kept/a", "-m", "one")
    shell.pub("-r", "-q", "1", "-t", "kept/b", "-m", "two")
    shell.pub("-r", "-q", "1", "-t", "kept/b", "-n")
    shell.pub("-r", "-q", "1", "-t", "kept/c", "-m", "three")
    ended = shell.run(
        "mosquitto_sub", "-W", "20", "-t", "kept/#", "-C", "2", "-F", "%r %t %p", "--retained-only"
    )
    assert sorted(ended.stdout.splitlines()) == ["1 kept/a one", "1 kept/c three"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_persistent_session(shell: Shell, version: str) -> None:
    """-c -i: what came while it was away is there when it is back."""
    expiry = ["-x", "600"] if version == "mqttv5" else []
    session = ["-V", version, "-c", "-i", "sleeper", "-q", "1", "-t", "queue", *expiry]
    assert shell.run("mosquitto_sub", "-E", *session).returncode == 0
    for number in "123":
        shell.pub("-q", "1", "-t", "queue", "-m", number)
    ended = shell.run("mosquitto_sub", "-W", "20", "-C", "3", *session)
    assert ended.stdout.splitlines() == ["1", "2", "3"]


def test_a_will(shell: Shell) -> None:
    """A subscriber that is killed."""
    observer = shell.sub("-t", "wills", "-q", "2", "-C", "1", "-F", "%q %p")
    dying = shell.sub(
        "-t", "x", "--will-topic", "wills", "--will-payload", "it died", "--will-qos", "2"
    )
    dying.kill()
    assert shell.lines(observer) == ["2 it died"]


def test_properties(shell: Shell) -> None:
    """-D, seen with %P."""
    sub = shell.sub("-V", "mqttv5", "-t", "rich", "-q", "1", "-C", "1", "-F", "%C|%P|%p")
    shell.pub(
        *("-V", "mqttv5", "-t", "rich", "-q", "1", "-m", "text"),
        *("-D", "publish", "user-property", "key", "value"),
        *("-D", "publish", "content-type", "text/plain"),
    )
    assert shell.lines(sub) == ["text/plain|key:value|text"]


def test_many_lines_from_a_pipe(shell: Shell) -> None:
    """mosquitto_pub -l, 500 lines at QoS 2."""
    sub = shell.sub("-t", "pipe", "-q", "2", "-C", "500")
    lines = [f"line {n}" for n in range(500)]
    ended = subprocess.run(
        ["mosquitto_pub", *shell.where, "-q", "2", "-t", "pipe", "-l"],
        input="\n".join(lines) + "\n",
        text=True,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert shell.lines(sub) == lines


def test_request_and_response(shell: Shell) -> None:
    """mosquitto_rr asks, a subscriber answers on the response topic."""
    asked = shell.sub("-V", "mqttv5", "-t", "ask", "-q", "1", "-C", "1", "-F", "%R %D %p")
    request = ["-q", "1", "-t", "ask", "-e", "answer", "-m", "time?", "-W", "20"]
    request += ["-D", "publish", "correlation-data", "c1"]
    asking = subprocess.Popen(
        ["mosquitto_rr", *shell.where, *request],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.lines(asked) == ["answer c1 time?"]
    shell.pub("-q", "1", "-t", "answer", "-m", "noon", "-V", "mqttv5")
    out, _ = asking.communicate(timeout=30)
    assert out.splitlines() == ["noon"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_person_can_play_a_board_in_the_shell(hub: Hub, version: str) -> None:
    """In the default mode: mosquitto_rr joins, and the pair that it is told starts the session."""
    shell, api, mac = Shell(hub), Api(hub), fresh_mac()
    ended = shell.run(
        "mosquitto_rr",
        *("-V", version, "-q", "2", "-t", "state/join", "-e", "state/nameAssign", "-m", mac),
        *("-W", "20"),
    )
    told = ended.stdout.strip().split(";")
    assert told[:2] == [mac, "capteur01"], ended
    hub.secrets.add(told[2])
    pair = f"{told[1]};{told[2]}"
    shell.pub("-V", version, "-q", "0", "-t", "photoresistor/status", "-m", f"{pair};58")
    eventually(lambda: api.readings(mac, "photoresistor") == [58], "the reading")
    shell.pub("-V", version, "-q", "2", "-t", "state/join", "-m", pair)
    eventually(lambda: api.state(mac) == "offline", "gone, as its connection is")
    assert api.device(mac)["joined_at"] is not None


def test_a_refusal_is_shown_to_the_person(hub: Hub) -> None:
    """mosquitto_sub of what a device may not hear; mosquitto_pub of what it may not say."""
    shell = Shell(hub)
    refused = shell.run("mosquitto_sub", "-V", "mqttv5", "-t", "#", "-C", "1", "-W", "20")
    assert "denied" in refused.stdout + refused.stderr
    refused = shell.run("mosquitto_pub", "-V", "mqttv5", "-q", "1", "-t", "led/command", "-m", "x")
    assert "not authori" in (refused.stdout + refused.stderr).lower()
