"""KubeVirt in a lab: a virtual machine is a process, in a launcher that is a Pod, and it moves by a real hand-over.

`controller` is virt-controller (what `sim/virt_controller.py` says, over HTTP), `handler` is virt-handler (a part of each
node's kubelet, so it ends and is cut off with its node), `launcher` is virt-launcher with QEMU. Annotations of the
VirtualMachine tell it how to misbehave (`orders`).
"""
