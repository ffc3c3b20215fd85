{{/*
What the operator may do, and nothing else. A verb stands here because operator/kube's client is called with
it: `get`, `list`, `watch` read; `create` makes, and `create` with `patch` is server-side apply; `patch` alone is
JSON Patch; `update` is compare-and-swap. What it applies it neither gets nor lists.
*/}}

{{/* In every namespace whose jobs it runs. */}}
{{- define "muster.rules.jobs" -}}
- apiGroups: [muster.dev]
  resources: [trainingjobs]
  # A job goes when its ttlSecondsAfterFinished is over.
  verbs: [get, list, watch, delete]
# The record and the reconcile's status, each by a patch of its own.
- apiGroups: [muster.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
# Pods that block the deletion of their owner: clusters with OwnerReferencesPermissionEnforcement ask for it.
- apiGroups: [muster.dev]
  resources: [trainingjobs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, list, watch, delete]
# What each job has besides; Kubernetes' garbage collector removes it with the job.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch]
# Its budget goes when the job has ended, or it would hold up drains.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What has no namespace. */}}
{{- define "muster.rules.cluster" -}}
# A node that is gone or not Ready is a hint (M3); workers are placed away from suspect ones.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
# A worker's token is reviewed once, when it joins.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}

{{/* In the operator's own namespace. `create` cannot be limited by name. */}}
{{- define "muster.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "muster.leaseName" . }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "muster.caSecretName" . }}]
  verbs: [get, update]
{{- end }}
