"""Quorum under every history of votes: Hypothesis looks for one that makes too few act, or lets a restart forget."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from quorate.api.wire import from_wire, to_wire
from quorate.core.quorum import Memory, Rule, Vote, count, majority, recalled
from quorate.core.quorum_options import QuorumOptions, in_force
from quorate.core.types import Answer, NodeName

WINDOW_S = 10.0
MOST = 6
OPTIONS = st.builds(
    QuorumOptions,
    wait_for_all=st.sampled_from([None, True, False]),
    auto_tie_breaker=st.booleans(),
    tie_breakers=st.lists(st.sampled_from(["n0", "n1", "n2"]), unique=True, max_size=2).map(tuple),
    last_man_standing_s=st.sampled_from([None, WINDOW_S]),
    two_node=st.booleans(),
)


@dataclass(frozen=True)
class Moment:
    """Who is heard (`x`), silent (`-`), or not known yet (`?`); who reboots before it; how long the others were silent."""

    alive: str
    reboots: str
    silent_s: float


@st.composite
def histories(draw):
    """Nodes with their votes, options that may act with them, and what happens to them."""
    weights = draw(
        st.lists(st.integers(0, 3), min_size=1, max_size=MOST) | st.lists(st.just(1), min_size=1, max_size=MOST)
    )
    marks = st.text("xxx-?", min_size=len(weights), max_size=len(weights))
    boots = st.text("...!", min_size=len(weights), max_size=len(weights))
    moments = draw(st.lists(st.builds(Moment, marks, boots, st.sampled_from([0.0, WINDOW_S])), max_size=12))
    wished = draw(OPTIONS)
    named = [(NodeName(f"n{i}"), weight) for i, weight in enumerate(weights)]
    return weights, in_force(wished, named).options, moments


ALIVE = {"x": Answer.YES, "-": Answer.NO, "?": Answer.NOT_YET}


def votes_of(weights, moment, boots) -> list[Vote]:
    return [
        Vote(NodeName(f"n{i}"), weight, ALIVE[mark], boot=str(boots[i]), silent_s=moment.silent_s)
        for i, (weight, mark) in enumerate(zip(weights, moment.alive, strict=True))
    ]


def played(history, *, restarts: bool = False):
    """Each count of a history, as (votes, memory before, quorum, memory after)."""
    weights, options, moments = history
    memory, boots = Memory(), [0] * len(weights)
    for moment in moments:
        boots = [boot + (mark == "!") for boot, mark in zip(boots, moment.reboots, strict=True)]
        votes = votes_of(weights, moment, boots)
        if restarts:  # the status is all that the next leader has, and it knows of nobody at first
            memory = from_wire(Memory, to_wire(memory))
            nobody = [replace(vote, alive=Answer.NOT_YET) for vote in votes]
            memory = count(nobody, recalled(nobody, memory), options)[1]
        before = recalled(votes, memory)
        quorum, memory = count(votes, before, options)
        yield votes, before, quorum, memory


@given(histories())
def test_never_quorate_without_a_majority_of_the_effective_total(history):
    """But for exactly half with the tie breaker, and one of two nodes."""
    for _, _, quorum, _ in played(history):
        if quorum.answer is Answer.YES and quorum.rule not in {Rule.TIE_BREAKER, Rule.TWO_NODE}:
            assert quorum.live >= majority(quorum.expected)


@given(histories())
def test_the_effective_total_is_never_below_the_live_votes(history):
    for _, _, quorum, memory in played(history):
        assert quorum.expected >= quorum.live
        assert memory.expected >= quorum.live or quorum.pending


@given(histories())
def test_a_minority_acts_only_as_its_option_allows(history):
    """Two nodes; exactly half of a total with its tie breaker; or the survivors of those that were quorate before."""
    weights, options, _ = history
    total = sum(weights)
    for votes, before, quorum, _ in played(history):
        if quorum.answer is not Answer.YES or quorum.live >= majority(total):
            continue
        witnesses = {(one.node, one.boot) for one in before.witnesses}
        carried = sum(one.votes for one in votes if one.alive is Answer.YES and (one.node, one.boot) in witnesses)
        if quorum.rule is Rule.TWO_NODE:
            assert options.two_node
            assert weights == [1, 1]
        elif quorum.rule is Rule.TIE_BREAKER:
            assert options.auto_tie_breaker
            assert quorum.live == (before.expected or total) // 2
            assert quorum.tie_breaker in {one.node for one in votes if one.alive is Answer.YES}
        else:
            assert quorum.rule is Rule.LAST_MAN_STANDING
            assert options.last_man_standing_s is not None
            half = options.auto_tie_breaker and 2 * carried >= before.expected - 1
            assert carried >= majority(before.expected) or half


@given(histories())
def test_the_total_shrinks_only_by_last_man_standing_and_only_while_quorate(history):
    _, options, _ = history
    for _, before, quorum, memory in played(history):
        if before.expected and memory.expected < before.expected:
            assert options.last_man_standing_s is not None
            assert quorum.answer is Answer.YES


@given(histories())
def test_a_restart_of_the_manager_changes_no_answer(history):
    told = [(quorum.answer, quorum.expected) for _, _, quorum, _ in played(history)]
    assert [(quorum.answer, quorum.expected) for _, _, quorum, _ in played(history, restarts=True)] == told


@given(histories())
def test_a_yes_stands_however_the_unknown_turn_out(history):
    """What is done on a yes must not have been wrong because somebody was only not known to be silent."""
    _, options, _ = history
    for votes, before, quorum, _ in played(history):
        if quorum.answer is Answer.YES and quorum.pending:
            silent = [replace(one, alive=Answer.NO) if one.alive is Answer.NOT_YET else one for one in votes]
            assert count(silent, before, options)[0].answer is Answer.YES


@given(histories())
def test_a_no_stands_however_the_unknown_turn_out(history):
    _, options, _ = history
    for votes, before, quorum, _ in played(history):
        if quorum.answer is Answer.NO and quorum.pending:
            heard = [replace(one, alive=Answer.YES) if one.alive is Answer.NOT_YET else one for one in votes]
            assert count(heard, before, options)[0].answer is not Answer.YES
