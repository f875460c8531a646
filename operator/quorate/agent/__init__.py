"""The agent on every node: renews the Lease, pets the watchdog, resets the node. It imports no more than it must."""
