"""The embedded API server: the object store of `sim` behind HTTP, for operator, agents and kubectl on a bare machine.

`tests/control_plane` holds it to a real kube-apiserver. Where it differs on purpose:
* No authentication (loopback only), server-side apply (415), protobuf (so no `kubectl create namespace NAME`: apply or
  create -f a file), pages of lists, admission webhooks and policies. Other kinds than `kinds.py` lists do not exist.
* CRDs are stored and at once Established; the schemas in force are those of `quorate.api`.
* Kubernetes' own kinds, and KubeVirt's: fields beyond `core.py` are kept unchecked (no warning of unknown ones, no
  immutable Pod spec) and no others get defaults. What the real server cannot decode (400) is invalid here (422). Every
  kind counts generations, and every PUT must name its resourceVersion. The status subresource changes nothing but the
  status.
* A strategic merge patch is a merge patch: lists are replaced, which is enough for annotate, label, taint and cordon.
* Owners' dependants and a namespace's contents go in the same step; every propagationPolicy is Background. DELETE answers
  with the object, a dry run with the resourceVersion that it would have had. A ControllerRevision takes patches.
"""
