{{- define "nightshift.name" -}}
{{- if contains "nightshift" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-nightshift" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "nightshift.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "nightshift.name" . }}{{ else }}default{{ end -}}
{{- end }}

{{/* Labels of everything; `component` is api, worker or absent. */}}
{{- define "nightshift.labels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "nightshift.selector" . }}
{{- end }}

{{- define "nightshift.selector" -}}
app.kubernetes.io/name: nightshift
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Settings of API and worker. Secrets are files, so that no secret is in the description of a pod. */}}
{{- define "nightshift.env" -}}
- { name: NIGHTSHIFT_STORE, value: s3 }
- { name: NIGHTSHIFT_METRICS_HOST, value: '0.0.0.0' }
- { name: NIGHTSHIFT_TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }} }
- { name: NIGHTSHIFT_TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }} }
{{- if .Values.temporal.apiKeySecret }}
- { name: NIGHTSHIFT_TEMPORAL_API_KEY_FILE, value: /run/secrets/temporal-key/api-key }
{{- end }}
{{- with .Values.temporal.tls }}
{{- if .enabled }}
- { name: NIGHTSHIFT_TEMPORAL_TLS, value: 'true' }
{{- if .serverName }}
- { name: NIGHTSHIFT_TEMPORAL_TLS_SERVER_NAME, value: {{ .serverName | quote }} }
{{- end }}
{{- if .secret }}
{{- if has "ca" .files }}
- { name: NIGHTSHIFT_TEMPORAL_TLS_CA_FILE, value: /run/secrets/temporal-tls/ca.crt }
{{- end }}
{{- if has "certificate" .files }}
- { name: NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE, value: /run/secrets/temporal-tls/tls.crt }
{{- end }}
{{- if has "key" .files }}
- { name: NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE, value: /run/secrets/temporal-tls/tls.key }
{{- end }}
{{- end }}
{{- end }}
{{- end }}
- { name: NIGHTSHIFT_S3_ENDPOINT, value: {{ .Values.s3.endpoint | quote }} }
- { name: NIGHTSHIFT_S3_BUCKET, value: {{ .Values.s3.bucket | quote }} }
- { name: NIGHTSHIFT_S3_REGION, value: {{ .Values.s3.region | quote }} }
{{- if .Values.s3.prefix }}
- { name: NIGHTSHIFT_S3_PREFIX, value: {{ .Values.s3.prefix | quote }} }
{{- end }}
{{- if .Values.s3.keysSecret }}
- { name: NIGHTSHIFT_S3_ACCESS_KEY_FILE, value: /run/secrets/s3/access-key }
- { name: NIGHTSHIFT_S3_SECRET_KEY_FILE, value: /run/secrets/s3/secret-key }
{{- end }}
{{- if .Values.auth.tenantsSecret }}
- { name: NIGHTSHIFT_TENANTS_FILE, value: /run/secrets/tenants/tenants.yaml }
{{- end }}
{{- if .Values.webhookKeySecret }}
- { name: NIGHTSHIFT_WEBHOOK_KEY_FILE, value: /run/secrets/webhooks/webhook-key }
{{- end }}
{{- range $name, $value := .Values.env }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{- define "nightshift.mounts" -}}
- { name: tmp, mountPath: /tmp }
{{- range include "nightshift.secrets" . | fromYamlArray }}
- { name: {{ .name }}, mountPath: /run/secrets/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "nightshift.volumes" -}}
- name: tmp
  emptyDir: {}
{{- range include "nightshift.secrets" . | fromYamlArray }}
- name: {{ .name }}
  secret: { secretName: {{ .secret }} }
{{- end }}
{{- end }}

{{/* Secrets that API and worker mount, by the name of their folder. */}}
{{- define "nightshift.secrets" -}}
{{- with .Values.temporal.apiKeySecret }}
- { name: temporal-key, secret: {{ . }} }
{{- end }}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- { name: temporal-tls, secret: {{ .Values.temporal.tls.secret }} }
{{- end }}
{{- with .Values.s3.keysSecret }}
- { name: s3, secret: {{ . }} }
{{- end }}
{{- with .Values.auth.tenantsSecret }}
- { name: tenants, secret: {{ . }} }
{{- end }}
{{- with .Values.webhookKeySecret }}
- { name: webhooks, secret: {{ . }} }
{{- end }}
{{- end }}

{{/* What a pod has, whatever it runs; a dict of root, component and the values of the component. */}}
{{- define "nightshift.pod" -}}
serviceAccountName: {{ include "nightshift.serviceAccount" .root }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext: { runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: { type: RuntimeDefault } }
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: {{ include "nightshift.selector" . | fromYaml | toJson }} }
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "nightshift.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .component }}]
securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
resources: {{ toYaml .values.resources | nindent 2 }}
# A start waits for Temporal and the bucket as long as it takes: the process is alive.
livenessProbe: { httpGet: { path: /health, port: operators }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
readinessProbe: { httpGet: { path: /ready, port: operators }, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 }
{{- end }}
