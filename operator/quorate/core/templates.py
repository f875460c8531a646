"""Which template may be used: the newest one that the API server has accepted.

A new template is tried by a dry run before anything is stopped for it. One that is rejected leads to Error, in the API
server's own words, only for a guest that never had an accepted one; any other keeps what it has, and says so.
"""

from quorate.core import machine_round
from quorate.core.actions import CheckTemplate
from quorate.core.draft import Draft
from quorate.core.moves import move
from quorate.core.place import storage_problem
from quorate.core.quick import replace
from quorate.core.types import GuestState
from quorate.core.world import Verdict


def template_ready(draft: Draft) -> bool:
    """Is there an accepted template in `status.template_hash` that a start may use now? Asks if nobody has yet."""
    guest, status = draft.guest, draft.status
    if guest.spec.machine:
        return machine_round.ready_to_start(draft)
    problem = storage_problem(guest.spec, guest.key.namespace, draft.room.storages)
    if problem is not None:
        draft.stall(problem)
        return False
    template = guest.spec.template
    if status.template_hash == template.hash:
        return True
    verdict = _verdict(draft)
    if verdict is None:
        draft.actions.append(CheckTemplate(guest.key, template.hash))
        if not draft.is_in(GuestState.STARTED):
            draft.say("asking the API server whether it takes the template")
        return False
    if verdict.accepted:
        draft.status = replace(status, template_hash=template.hash, rejected_template="")
        return True
    if status.template_hash:
        kept = "the last accepted one stays in use"
        draft.stall(f"the new template is rejected, {kept}; correct spec.guest.container: {verdict.message}")
        return True
    reject(draft, verdict.message, template.hash)
    return False


def _verdict(draft: Draft) -> Verdict | None:
    template, verdict = draft.guest.spec.template, draft.guest.verdict
    if template.problem:
        return Verdict(template.hash, accepted=False, message=template.problem)
    return verdict if verdict is not None and verdict.template_hash == template.hash else None


def reject(draft: Draft, words: str, template_hash: str) -> None:
    """To Error with the API server's words; a new generation of the template leads out of it again."""
    draft.stall(f"the template is rejected, correct spec.guest.container: {words}")
    draft.status = replace(draft.status, rejected_template=template_hash, target=None, instance=None)
    if not draft.is_in(GuestState.ERROR):
        move(draft, GuestState.ERROR)
