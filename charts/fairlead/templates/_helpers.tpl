{{/* What the names of all objects begin with: at most 40 characters. */}}
{{- define "fairlead.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.operator" -}}
{{- include "fairlead.name" . }}-operator
{{- end -}}

{{- define "fairlead.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "fairlead.operator" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false: name the ServiceAccount in serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object. They cannot be changed by values: commonLabels come first. */}}
{{- define "fairlead.labels" -}}
{{- $fixed := dict
  "app.kubernetes.io/part-of" "fairlead"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (.Chart.AppVersion | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- merge (dict) $fixed .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Labels of the objects of the operator itself. */}}
{{- define "fairlead.operatorLabels" -}}
{{- merge (include "fairlead.selector" . | fromYaml) (include "fairlead.labels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* By the first of these, receivers let the operator read their status. */}}
{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The annotations of an object, or nothing: all objects' and the given ones. */}}
{{- define "fairlead.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The name of an image: registry/repository:tag@digest. */}}
{{- define "fairlead.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* 90 per cent of the memory limit, so that garbage is collected before the kernel ends the process. */}}
{{- define "fairlead.goMemoryLimit" -}}
{{- $limit := dig "limits" "memory" "" (.Values.resources | default dict) | toString -}}
{{- if .Values.goMemoryLimit -}}
{{- .Values.goMemoryLimit -}}
{{- else if regexMatch "^[0-9]+Mi$" $limit -}}
{{- div (mul (trimSuffix "Mi" $limit | int64) 90) 100 }}MiB
{{- else if regexMatch "^[0-9]+Gi$" $limit -}}
{{- div (mul (trimSuffix "Gi" $limit | int64) 1024 90) 100 }}MiB
{{- end -}}
{{- end -}}

{{/* One flag for each namespace of a limit, sorted, "*" first. */}}
{{- define "fairlead.limits" -}}
{{- range $namespace, $globs := .limits }}
- {{ printf "--%s=%s=%s" $.flag $namespace (join "," $globs) | quote }}
{{- end -}}
{{- end -}}

{{/* The operator's arguments: what differs from its own defaults. */}}
{{- define "fairlead.args" -}}
- {{ if .Values.leaderElection }}--leader-elect{{ else }}--leader-elect=false{{ end }}
- --receiver-image={{ include "fairlead.image" (dict "root" . "image" .Values.receiver.image) }}
{{- with .Values.namespaces }}
- --namespaces={{ join "," . }}
{{- end }}
{{- include "fairlead.limits" (dict "flag" "allowed-exposures" "limits" .Values.allowed.exposures) }}
{{- include "fairlead.limits" (dict "flag" "allowed-hosts" "limits" .Values.allowed.hosts) }}
{{- with .Values.allowed.annotations }}
- {{ printf "--allowed-annotations=%s" (join "," .) | quote }}
{{- end }}
{{- if ne (toString .Values.watchProviders) "auto" }}
- --watch-providers={{ .Values.watchProviders }}
{{- end }}
{{- if not .Values.metrics.enabled }}
- --metrics-bind-address=0
{{- else if ne (int .Values.metrics.port) 8443 }}
- --metrics-bind-address=:{{ .Values.metrics.port }}
{{- end }}
{{- if and .Values.metrics.enabled .Values.metrics.certificateSecret }}
- --metrics-cert-dir=/etc/fairlead/metrics
{{- end }}
{{- if ne (int .Values.probesPort) 8081 }}
- --health-probe-bind-address=:{{ .Values.probesPort }}
{{- end }}
{{- with .Values.pprofBindAddress }}
- {{ printf "--pprof-bind-address=%s" . | quote }}
{{- end }}
{{- if ne .Values.logLevel "info" }}
- --log-level={{ .Values.logLevel }}
{{- end }}
{{- if ne (int .Values.concurrentReconciles) 8 }}
- --concurrent-reconciles={{ .Values.concurrentReconciles }}
{{- end }}
{{- if ne .Values.discoveryInterval "30s" }}
- --discovery-interval={{ .Values.discoveryInterval }}
{{- end }}
{{- end -}}
