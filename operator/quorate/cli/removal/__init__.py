"""Taking Quorate out of a Kubernetes cluster: what is there, in which order it goes, and what each step waits for."""
