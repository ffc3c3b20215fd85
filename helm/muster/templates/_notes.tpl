{{/* What `helm install` says at its end. A template of its own, so that a test can render it. */}}
{{- define "muster.notes" -}}
{{- $jobs := first (append .Values.watchNamespaces "default") -}}
Muster {{ .Chart.AppVersion }} is in namespace {{ .Release.Namespace }} and runs the TrainingJobs of {{ if .Values.watchNamespaces }}{{ join ", " .Values.watchNamespaces }}{{ else }}all namespaces{{ end }}.

Wait until it is ready:

    kubectl -n {{ .Release.Namespace }} rollout status deployment/{{ include "muster.fullname" . }}

Then start a small job, which needs no data, and watch it to its end:

    kubectl apply -f - <<'EOF'
    apiVersion: muster.dev/v1alpha1
    kind: TrainingJob
    metadata: {name: first, namespace: {{ $jobs }}}
    spec:
      workers: {replicas: 2}
      program: {builtin: bench, config: {stateBytes: 1048576, slotMilliseconds: 5}}
      training: {steps: 200, slots: 16}
    EOF
    kubectl -n {{ $jobs }} get trainingjob first -w

{{- if eq (int .Values.replicas) 1 }}

WARNING: replicas is 1. While that pod is away jobs train on, but a worker lost meanwhile stops its job until it is back.
{{- end }}
{{- if not .Values.crds.enabled }}

WARNING: crds.enabled is false. The definition of TrainingJob has to come from elsewhere, of this version.
{{- end }}
{{- if not .Values.crds.keep }}

WARNING: crds.keep is false. `helm uninstall` deletes the definition of TrainingJob, and with it every job of the cluster.
{{- end }}
{{- if not .Values.rbac.create }}

WARNING: rbac.create is false. The operator can do nothing until roles are bound to ServiceAccount {{ .Release.Namespace }}/{{ include "muster.serviceAccount" . }}.
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) }}

WARNING: networkPolicy.metricsFrom is empty. Nobody may scrape the operator's metrics.
{{- end }}
{{- end }}
