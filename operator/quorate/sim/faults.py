"""What can happen to machines, their agents and kubelets, to manager replicas and to the API server."""

from typing import TYPE_CHECKING, Any

from quorate.core.types import Going
from quorate.sim.machine import Phase
from quorate.sim.server import LEASES, Link, change
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.manager import Manager
    from quorate.sim.world import Simulation

AGENT_RESTART_S = 1.0


# -- machines -----------------------------------------------------------------------------------------------------------


def power_on(simulation: "Simulation", node: str) -> None:
    simulation.machines[node].power_on()


@word("power off NODE", power_on, "power")
def power_off(simulation: "Simulation", node: str) -> None:
    simulation.machines[node].power_off()


word("power on NODE")(power_on)


@word("reset NODE", fault="reset")
def reset(simulation: "Simulation", node: str) -> None:
    simulation.machines[node].reset("somebody pressed the button")


def thaw(simulation: "Simulation", node: str) -> None:
    simulation.machines[node].thaw()


@word("freeze NODE", thaw, "freeze")
def freeze(simulation: "Simulation", node: str) -> None:
    """Everything on it stands still, and goes on when it is thawed."""
    simulation.machines[node].freeze()


word("thaw NODE")(thaw)


@word("shut down NODE", fault="shutdown")
def shut_down(simulation: "Simulation", node: str) -> None:
    """In order: guests are told to end, the agent leaves, and the power goes off."""
    _go_down(simulation, node, Going.POWER_OFF)


@word("reboot NODE", fault="reboot")
def reboot(simulation: "Simulation", node: str) -> None:
    """The same, and it comes back when its firmware is done."""
    _go_down(simulation, node, Going.REBOOT)


@word("shut down NODE under its kubelet within TIME", fault="shutdown")
def shut_down_under(simulation: "Simulation", node: str, seconds: float) -> None:
    """The init system ends what runs. The kubelet knows nothing of it and starts what comes until the power goes off."""
    machine = simulation.machines[node]
    if not machine.on or machine.agent is None:
        machine.power_off()
        return
    machine.going = Going.POWER_OFF
    for container in list(machine.containers.values()):
        machine.stop_guest(container)
    machine.agent.leave(30.0)
    simulation.engine.after(seconds, _pull, simulation, node, machine.boots)


def _go_down(simulation: "Simulation", node: str, going: Going) -> None:
    machine = simulation.machines[node]
    if not machine.on or machine.kubelet is None or machine.agent is None:
        machine.power_off()
        return
    machine.going = going
    machine.kubelet.shut_down()
    machine.agent.gone = machine.go_down
    machine.agent.leave(30.0)
    simulation.engine.after(60.0, _pull, simulation, node, machine.boots)


def _pull(simulation: "Simulation", node: str, boots: int) -> None:
    machine = simulation.machines[node]
    if machine.on and machine.boots == boots:
        machine.go_down()


@word("firmware of NODE takes TIME")
def firmware(simulation: "Simulation", node: str, seconds: float) -> None:
    simulation.machines[node].firmware_s = seconds


@word("lose records of NODE", fault="records")
def lose_records(simulation: "Simulation", node: str) -> None:
    """The runtime forgets what has ended on it."""
    machine = simulation.machines[node]
    for uid, container in list(machine.containers.items()):
        if container.phase is Phase.ENDED:
            del machine.containers[uid]


@word("GUEST crashes", fault="crash")
def crashes(simulation: "Simulation", guest: str) -> None:
    """Its process ends with an error, wherever it runs."""
    for machine in simulation.machines.values():
        for container in list(machine.containers.values()):
            if container.key.name == guest and container.phase is Phase.RUNNING and not machine.frozen:
                machine.end_guest(container, 1)


def stops_again(simulation: "Simulation", guest: str) -> None:
    """What it was told meanwhile, it does now."""
    simulation.hanging.discard(guest)
    for machine in simulation.machines.values():
        for container in list(machine.containers.values()):
            if container.key.name == guest and container.stopping:
                machine.let_end(container)


@word("stop of GUEST hangs", stops_again, "stop hangs")
def stop_hangs(simulation: "Simulation", guest: str) -> None:
    """Its process waits for storage that does not answer: nothing ends it but the end of its node."""
    simulation.hanging.add(guest)


# -- agents and kubelets ------------------------------------------------------------------------------------------------


@word("kill agent of NODE", fault="agent")
def kill_agent(simulation: "Simulation", node: str) -> None:
    """Its keeper starts it again."""
    machine = simulation.machines[node]
    machine.stop_agent()
    if machine.runtime is not None:
        simulation.engine.after(AGENT_RESTART_S, machine.start_agent, owner=machine.runtime)


def wake_agent(simulation: "Simulation", node: str) -> None:
    machine = simulation.machines[node]
    if machine.agent is not None and not machine.frozen:
        machine.agent.process.thaw()


@word("hang agent of NODE", wake_agent, "agent hangs")
def hang_agent(simulation: "Simulation", node: str) -> None:
    agent = simulation.machines[node].agent
    if agent is not None:
        agent.process.freeze()


@word("stall agent of NODE by TIME", fault="stall")
def stall_agent(simulation: "Simulation", node: str, seconds: float) -> None:
    """At the worst line: its next pet comes so much after the look at the clock that allowed it."""
    agent = simulation.machines[node].agent
    if agent is not None:
        agent.stall(seconds)


@word("stall agent of NODE by TIME twice", fault="stall")
def stall_agent_twice(simulation: "Simulation", node: str, seconds: float) -> None:
    """And after that pet for good, before it looks at the clock again: the worst that stalls can do."""
    agent = simulation.machines[node].agent
    if agent is not None:
        agent.stall(seconds, twice=True)


def mend_watchdog(simulation: "Simulation", node: str) -> None:
    simulation.machines[node].dog_broken = False


@word("break watchdog of NODE", mend_watchdog, "watchdog broken")
def break_watchdog(simulation: "Simulation", node: str) -> None:
    """It cannot be opened any more; one that is open goes on."""
    simulation.machines[node].dog_broken = True


word("mend watchdog of NODE")(mend_watchdog)


@word("watchdog of NODE counts in steps of TIME")
def let_watchdog_round_up(simulation: "Simulation", node: str, seconds: float) -> None:
    """What it is asked for is rounded up to that, as on some boards."""
    simulation.machines[node].dog_step_s = seconds


@word("watchdog of NODE cannot be disarmed")
def let_watchdog_stay(simulation: "Simulation", node: str) -> None:
    """Once it is open it counts until the machine is reset (nowayout)."""
    simulation.machines[node].dog_stays = True


def start_agent(simulation: "Simulation", node: str) -> None:
    machine = simulation.machines[node]
    machine.agent_wanted = True
    machine.start_agent()


@word("take agent of NODE away", start_agent, "agent taken away")
def take_agent(simulation: "Simulation", node: str) -> None:
    """Somebody deleted its DaemonSet: it has its grace period, and then it is gone."""
    machine = simulation.machines[node]
    machine.agent_wanted = False
    if machine.agent is not None:
        machine.agent.leave(30.0)


word("start agent of NODE")(start_agent)


def start_kubelet(simulation: "Simulation", node: str) -> None:
    machine = simulation.machines[node]
    machine.kubelet_wanted = True
    machine.start_kubelet()


@word("stop kubelet of NODE", start_kubelet, "kubelet")
def stop_kubelet(simulation: "Simulation", node: str) -> None:
    machine = simulation.machines[node]
    machine.kubelet_wanted = False
    machine.stop_kubelet()


word("start kubelet of NODE")(start_kubelet)


# -- networks -----------------------------------------------------------------------------------------------------------


def link_of(simulation: "Simulation", client: str) -> Link:
    if client in simulation.machines:
        return simulation.machines[client].link
    return manager_of(simulation, client).link


def heal(simulation: "Simulation", client: str) -> None:
    link_of(simulation, client).heal()


@word("cut CLIENT", heal, "cut")
def cut(simulation: "Simulation", client: str) -> None:
    link_of(simulation, client).cut()


@word("cut CLIENT to api", heal, "cut one way")
def cut_to(simulation: "Simulation", client: str) -> None:
    """Nothing it sends arrives."""
    link_of(simulation, client).cut(from_api=False)


@word("cut CLIENT from api", heal, "cut one way")
def cut_from(simulation: "Simulation", client: str) -> None:
    """What it sends arrives, and it hears nothing."""
    link_of(simulation, client).cut(to_api=False)


word("heal CLIENT")(heal)


def _share(field: str) -> tuple[Any, Any]:
    def begin(simulation: "Simulation", client: str, share: float) -> None:
        link = link_of(simulation, client)
        link.weather = change(link.weather, **{field: share})

    def end(simulation: "Simulation", client: str, _share: float) -> None:
        begin(simulation, client, 0.0)

    return begin, end


def _api(field: str, off: Any) -> tuple[Any, Any]:
    def begin(simulation: "Simulation", *values: Any) -> None:
        value = values[0] if values else True
        simulation.server.weather = change(simulation.server.weather, **{field: value})

    def end(simulation: "Simulation", *_: Any) -> None:
        simulation.server.weather = change(simulation.server.weather, **{field: off})

    return begin, end


for _pattern, _field, _fault in (
    ("lose SHARE of answers to CLIENT", "lost", "answers lost"),
    ("commit SHARE of CLIENT late", "late", "late commits"),
    ("refuse SHARE of CLIENT", "error", "API errors"),
):
    _begin, _end = _share(_field)
    _client_first = _pattern.split().index("CLIENT") < _pattern.split().index("SHARE")

    def _swapped(function: Any) -> Any:
        return lambda simulation, share, client: function(simulation, client, share)

    word(_pattern, _swapped(_end), _fault)(_swapped(_begin))

for _pattern, _field, _off, _fault in (
    ("api down", "down", False, "API down"),
    ("api slow TIME", "slow_s", 0.0, "API slow"),
    ("api fails SHARE", "error", 0.0, "API errors"),
    ("api loses SHARE of answers", "lost", 0.0, "answers lost"),
    ("api commits SHARE late", "late", 0.0, "late commits"),
):
    _begin, _end = _api(_field, _off)
    word(_pattern, _end, _fault)(_begin)


# -- managers -----------------------------------------------------------------------------------------------------------


def manager_of(simulation: "Simulation", name: str) -> "Manager":
    """By its name; `leader` is whoever leads now, or else the first."""
    if name in simulation.managers:
        return simulation.managers[name]
    managers = list(simulation.managers.values())
    return next((one for one in managers if one.leads), managers[0])


def start_manager(simulation: "Simulation", manager: str) -> None:
    """That one; or, since nobody leads under that name any more, all that were killed."""
    named = [simulation.managers[manager]] if manager in simulation.managers else simulation.managers.values()
    for one in named:
        one.start()


@word("kill MANAGER", start_manager, "manager killed")
def kill_manager(simulation: "Simulation", manager: str) -> None:
    found = manager_of(simulation, manager)
    simulation.journal.say(found.name, "is killed")
    found.kill()


word("start MANAGER")(start_manager)


def wake_manager(simulation: "Simulation", manager: str) -> None:
    for one in simulation.managers.values():
        if manager in {one.name, "leader"} and one.loop is not None:
            one.loop.thaw()


@word("stop MANAGER", wake_manager, "manager stopped")
def stop_manager(simulation: "Simulation", manager: str) -> None:
    """SIGSTOP: it knows nothing of the time that passes."""
    found = manager_of(simulation, manager)
    if found.loop is not None:
        found.loop.freeze()


word("continue MANAGER")(wake_manager)


def _in_time(simulation: "Simulation", manager: str, _lag_s: float) -> None:
    for one in simulation.managers.values():
        if manager in {one.name, "leader"}:
            one.lag(0.0)


def _leases_in_time(simulation: "Simulation", manager: str, _lag_s: float) -> None:
    for one in simulation.managers.values():
        if manager in {one.name, "leader"}:
            one.lag(0.0, LEASES.table)


@word("watch of MANAGER lags TIME", _in_time, "stale watch")
def lags(simulation: "Simulation", manager: str, lag_s: float) -> None:
    manager_of(simulation, manager).lag(lag_s)


@word("watch of leases of MANAGER lags TIME", _leases_in_time, "stale watch")
def leases_lag(simulation: "Simulation", manager: str, lag_s: float) -> None:
    """It hears of everything else in time."""
    manager_of(simulation, manager).lag(lag_s, LEASES.table)
