"""A front between the lab's API server and everybody in the lab: it knows who calls, counts, and misbehaves on demand.

rules.py       which call a rule means, and what is to become of it
proxy.py       forwards one call, or does to it what a rule says; watches go through as they come
listener.py    a port for each client, and the outage of all of them
control.py     what a test says to it over its socket
"""
