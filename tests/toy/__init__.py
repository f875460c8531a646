"""A toy cluster for tests of the core: nodes, agents, kubelets, watchdogs and an API with compare-and-swap, in steps of
half a second of virtual time. Agents decide with the production self-fence code, managers with the production plan.

What really runs is known (`running`), so that at-most-once is checked against the truth and not against any status.
"""

from tests.toy.cluster import Toy, wanted
from tests.toy.manager import Manager

__all__ = ["Manager", "Toy", "wanted"]
