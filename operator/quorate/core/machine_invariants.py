"""What must hold of every plan for virtual machines, and what all checks of a plan share."""

from abc import ABC, abstractmethod
from dataclasses import replace

from quorate.core.actions import (
    BeginMigration,
    BindLauncher,
    HaltMachine,
    Plan,
    ReturnMachine,
    RunMachine,
    TakeMachine,
)
from quorate.core.guard import ready_for_guests
from quorate.core.launchers import has_ended, vanished
from quorate.core.migration import side
from quorate.core.status import GuestStatus, Instance, NodeStatus
from quorate.core.types import HEARD, GuestKey, GuestState, Ref, node_ref
from quorate.core.world import GuestView, NodeView, World


class Checks(ABC):
    """A plan beside the World that it was made for, with the statuses that it writes."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.guests = {guest.key: guest for guest in world.guests}
        self.nodes = {node.name: node for node in world.nodes}
        self.written: dict[Ref, object] = {write.ref: write.status for write in plan.statuses}

    def _guest_status(self, guest: GuestView) -> GuestStatus:
        status = self.written.get(guest.key.ref, guest.status)
        return status if isinstance(status, GuestStatus) else guest.status

    def _node_status(self, node: NodeView) -> NodeStatus:
        status = self.written.get(node_ref(node.name), node.status)
        return status if isinstance(status, NodeStatus) else node.status

    def _hands_off(self, key: GuestKey, verb: str) -> tuple[int, str] | None:
        """4. A guest in Error or Ignored is never touched by us."""
        guest = self.guests.get(key)
        if guest is not None and self._guest_status(guest).state in {GuestState.ERROR, GuestState.IGNORED}:
            return 4, f"{key.sid} would be {verb} in {self._guest_status(guest).state}"
        return None

    @abstractmethod
    def _begins(self, guest: GuestView, instance: Instance) -> tuple[int, str] | None:
        """The instance before has ended as a fact, and this one goes where it may, in the boot it was drawn for."""


class MachineChecks(Checks):
    """Starts, bindings and migrations. Each answers with the number of the invariant that is broken, and how."""

    def _judge_machine(
        self, action: RunMachine | BindLauncher | HaltMachine | TakeMachine | ReturnMachine | BeginMigration
    ) -> tuple[int, str] | None:
        match action:
            case RunMachine():
                return self._start(action)
            case BindLauncher():
                return self._bind(action)
            case BeginMigration():
                return self._migrate(action)
            case HaltMachine():
                return self._hands_off(action.guest, "taken in hand") or self._halt(action)
            case TakeMachine():
                return self._hands_off(action.guest, "taken in hand")
        return None

    def _halt(self, action: HaltMachine) -> tuple[int, str] | None:
        """9. What runs as it should is not stopped."""
        guest = self.guests.get(action.guest)
        status = self._guest_status(guest) if guest is not None else None
        instance = status.instance if status is not None else None
        runs = instance is not None and instance.uid is not None and not instance.ended and not instance.stopping
        return (9, f"machine {action.name} would be halted, and it is to run") if runs else None

    def _start(self, action: RunMachine) -> tuple[int, str] | None:
        """3 and 8. The same of a machine: nothing of it is left, neither a run nor a launcher, of whatever migration."""
        guest = self.guests.get(action.guest)
        machine = guest.machine if guest is not None else None
        if guest is None or machine is None:
            return 3, "a machine of an unknown guest would be started"
        recorded = self._guest_status(guest).instance
        if recorded is None or recorded.id != action.instance.id:
            return 3, f"instance {action.instance.id} is not in the status that is written before it"
        if not machine.rests:
            left = ", ".join(one.name for one in machine.launchers) or "a run of it"
            return 3, f"machine {machine.name} would be started, and {left} is left"
        if self._guest_status(guest).migration is not None:
            return 3, f"machine {machine.name} would be started, and the end of its migration is not known"
        torn_out = vanished(replace(guest, status=self._guest_status(guest)))
        if torn_out:
            return 3, f"machine {machine.name} would be started, and nothing proves the end of {torn_out[0].name}"
        if machine.taken or machine.owner:
            return 4, f"machine {machine.name} would be started, and it is none of ours"
        return self._begins(guest, action.instance)

    def _bind(self, action: BindLauncher) -> tuple[int, str] | None:
        """3. A launcher is bound only as the recorded instance, to its node, in the boot that it was drawn for."""
        guest = self.guests.get(action.guest)
        machine = guest.machine if guest is not None else None
        instance = self._guest_status(guest).instance if guest is not None else None
        if machine is None or instance is None or instance.ended or instance.stopping:
            return 3, f"launcher {action.pod} would be bound, and no instance is recorded that is to run"
        own, other = {instance.uid}, side(self._guest_status(guest)) if guest is not None else None
        if other is not None and other.id == action.instance:
            own, instance = {instance.uid, other.uid}, other
        if (instance.uid, instance.node, instance.id) != (action.uid, action.node, action.instance):
            return 3, f"launcher {action.pod} would be bound, and it is not the one that is recorded"
        others = [one for one in machine.launchers if one.pod.uid not in own and one.pod.bound and not has_ended(one)]
        if others:
            return 3, f"launcher {action.pod} would be bound, and {others[0].name} has a node"
        return self._in_its_boot(f"launcher {action.pod} would be bound to", instance)

    def _migrate(self, action: BeginMigration) -> tuple[int, str] | None:
        """3. A migration is begun only when its target is recorded: in that boot, armed, and with the guest running."""
        guest = self.guests.get(action.guest)
        status = self._guest_status(guest) if guest is not None else None
        other = side(status) if status is not None else None
        if status is None or other is None or other.id != action.migration:
            return 3, f"migration {action.name} would be begun, and no status names it"
        if status.instance is None or status.instance.ended or status.instance.stopping:
            return 3, f"migration {action.name} would be begun, and nothing is recorded that runs"
        return self._in_its_boot(f"migration {action.name} would be begun to", other)

    def _in_its_boot(self, what: str, instance: Instance) -> tuple[int, str] | None:
        """Is its node heard, armed, and in the boot that was recorded?"""
        node = self.nodes.get(instance.node)
        status = self._node_status(node) if node is not None else None
        if node is None or status is None or status.state not in HEARD or status.nonce != instance.nonce:
            return 3, f"{what} {instance.node}, which is not in the boot it is for"
        if not ready_for_guests(replace(node, status=status), self.world.cluster.spec):
            return 3, f"nothing would prove the death of {node.name}: its watchdog is not armed"
        return None
