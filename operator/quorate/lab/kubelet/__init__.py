"""The kubelet stand-in: talks to the API server as a kubelet does, and runs pods as real processes.

What it decides and reports follows Kubernetes 1.34 (pkg/kubelet), where guests' safety depends on it: admission, the
order of starts, what happens to pods of an earlier boot, container statuses, phases and conditions, deletion. Images
are not pulled, there is no pod network (a pod's address is its node's), and of the probes only readiness is honoured.
"""
