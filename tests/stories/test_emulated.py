"""The firmware's logic on emulated bare metal, at a real hub.

What this shows over the simulated boards: the logic without an operating system, 32 bits wide, on
the TCP/IP stack of the chips, with settings that are read as from flash.
"""

from api import Api
from client import Client
from emulated import EmulatedBoard
from hub import Hub
from waiting import eventually

LEAVE = "state/leave"

# The board's light readings go up by one, and from 100 to 0.
STEPS = 101


def test_an_emulated_board_joins_reports_and_obeys(hub: Hub, api: Api) -> None:
    """From power-on through DHCP and the whole protocol to an LED that shines."""
    with EmulatedBoard(hub) as board:
        assert api.wait_state(board.mac, "online", 60)["name"] == "capteur01"
        told = eventually(lambda: api.device(board.mac).get("info"), "what the board tells")
        assert told["chip"] == "qemu-virt"

        eventually(lambda: len(api.readings(board.mac, "photoresistor")) >= 10, "ten readings")
        light = api.readings(board.mac, "photoresistor")
        assert light == [number % STEPS for number in range(len(light))]

        for on in (True, False):
            assert api.led(board.mac, on).status == 200
            eventually(lambda on=on: board.is_lit() is on, "the LED")
            api.wait_value(board.mac, "led", on)

        board.press()
        api.wait_value(board.mac, "button", True)
        board.release()
        api.wait_value(board.mac, "button", False)


def test_an_emulated_board_goes_by_the_name_in_its_settings(hub: Hub, api: Api) -> None:
    """It wishes for that name, and takes it up from the hub's answer."""
    with EmulatedBoard(hub, name="Küche unten") as board:
        eventually(lambda: api.state("Küche unten") == "online", "the board by its name", 60)
        board.wait_says('Online("Küche unten")')
        assert api.device("Küche unten")["mac"] == board.mac
        assert api.led("Küche unten", True).status == 200
        board.wait_says("the LED is on")


def test_an_emulated_board_without_power_is_offline_by_its_will(open_hub: Hub) -> None:
    """Killed, it says nothing more; the hub says it in its place."""
    api = Api(open_hub)
    with EmulatedBoard(open_hub) as board:
        api.wait_state(board.mac, "online", 60)
        observer = Client(open_hub)
        observer.subscribe(LEAVE, qos=2)
        board.cut_power()
        api.wait_state(board.mac, "offline")
        observer.wait_heard(1, LEAVE)
        name, session = observer.heard(LEAVE)[0].split(";")
        open_hub.secrets.add(session)
        assert name == "capteur01"


def test_an_emulated_board_comes_back_to_a_hub_that_was_away(hub: Hub, api: Api) -> None:
    """The hub is killed and started again: the board finds it by itself."""
    with EmulatedBoard(hub) as board:
        api.wait_state(board.mac, "online", 60)
        hub.kill_and_start()
        assert api.wait_state(board.mac, "online", 60)["name"] == "capteur01"
        assert api.led(board.mac, True).status == 200


def test_light_that_an_emulated_board_saw_while_the_hub_was_away_is_not_lost(
    hub: Hub, api: Api
) -> None:
    """It keeps a reading every ten seconds and tells them later, each of them once."""
    with EmulatedBoard(hub, interval_ms=1_000) as board:
        api.wait_state(board.mac, "online", 60)
        eventually(lambda: api.readings(board.mac, "photoresistor"), "a reading")
        assert hub.stop() == 0
        board.wait_says("Waiting")
        before = len(board.light())
        eventually(lambda: len(board.light()) >= before + 2, "two readings nobody hears", 60)
        kept = set(board.light()[before:])
        hub.start()
        eventually(
            lambda: kept <= set(api.readings(board.mac, "photoresistor")),
            f"the readings {kept}",
            60,
        )
        light = api.readings(board.mac, "photoresistor")
        assert light == sorted(set(light)), "in order, and none of them twice"
