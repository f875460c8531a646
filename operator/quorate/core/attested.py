"""What an agent says of the Pods that it was asked about."""

from quorate.core.liveness import valid
from quorate.core.status import Instance
from quorate.core.types import Uid
from quorate.core.world import Attestation, World

_NOTHING = Attestation(Uid(""), 0, False, "", 0, 0, 0, "", 0, 0)


def attested(world: World, instance: Instance) -> Attestation:
    """What the agent attests in the boot that the instance belongs to; nothing, if another boot holds the Lease."""
    node = world.node(instance.node)
    if node is None or node.beat is None or node.beat.attestation is None or not valid(node.beat):
        return _NOTHING
    return node.beat.attestation if node.beat.nonce == instance.nonce else _NOTHING
