"""The imperative shell: observe, tick, act. The only room that knows kopf and the Kubernetes client."""
