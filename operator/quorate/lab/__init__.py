"""A cluster in one process group: an API server, virtual nodes with real agents and processes, managers, faults."""
