"""Fence devices as they are spoken to: fence agents of ClusterLabs as processes, and the look after them before need."""
