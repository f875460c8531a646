"""How a guest becomes Kubernetes objects, one module for each kind of guest."""
