"""Quorate: Proxmox-VE-style high availability as a Kubernetes operator."""

from typing import Final

__version__: Final = "0.1.0"
