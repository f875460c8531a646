"""The agent on every node: renews the Lease, pets the watchdog, resets the node. Standard library, urllib3 and prometheus_client only."""
