"""The agent on every node: renews the Lease, pets the watchdog, resets the node. Standard library and urllib3 only."""
