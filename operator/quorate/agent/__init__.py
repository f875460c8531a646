"""The agent on every node: renews the Lease, pets the watchdog, resets the node. Imports no more than it must."""
