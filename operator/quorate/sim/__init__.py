"""The object store of the simulator and of the lab: compare-and-swap, watches, finalizers, without HTTP."""
