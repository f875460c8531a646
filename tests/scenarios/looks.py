"""What scenarios look at."""


def state(toy, key):
    return toy.guests[key].status.state


def settled_on(toy, key, node):
    """Does the guest run there, and is it to stay?"""
    status = toy.guests[key].status
    return toy.running(key) == [node] and status.state == "Started" and status.ready and status.target is None
