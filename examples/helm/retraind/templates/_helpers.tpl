{{- define "retraind.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "retraind.labels" -}}
app.kubernetes.io/name: retraind
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "retraind.hosts" -}}
{{- $name := include "retraind.name" . -}}
{{- $hosts := .Values.hosts -}}
{{- range $service := list (printf "%s-nodes" $name) (printf "%s-leader" $name) -}}
{{- $hosts = concat $hosts (list $service (printf "%s.%s" $service $.Release.Namespace) (printf "%s.%s.svc" $service $.Release.Namespace) (printf "%s.%s.svc.cluster.local" $service $.Release.Namespace)) -}}
{{- end -}}
{{ $hosts | toJson }}
{{- end }}

{{/* What both kinds of pods have. The cluster's variables for Services would begin with RETRAIND_, which retraind refuses. */}}
{{- define "retraind.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "retraind.container" -}}
image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Tokens are files of the home, so they are copied there before it starts. */}}
{{- define "retraind.tokens" -}}
{{- if .Values.tokens.secret -}}
initContainers:
  - name: tokens
    {{- include "retraind.container" . | nindent 4 }}
    command:
      - sh
      - -c
      - umask 077 && mkdir -p /srv/retraind/home/registry/tokens && cp /tokens/*.json /srv/retraind/home/registry/tokens/
    volumeMounts:
      - {name: home, mountPath: /srv/retraind}
      - {name: tokens, mountPath: /tokens, readOnly: true}
{{- end }}
{{- end }}

{{- define "retraind.mounts" -}}
- {name: home, mountPath: /srv/retraind}
- {name: tmp, mountPath: /tmp}
{{- if .Values.certificates.secret }}
- {name: certificates, mountPath: /etc/retraind/certificates, readOnly: true}
{{- end }}
{{- end }}

{{- define "retraind.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 2Gi}
{{- if .Values.tokens.secret }}
- name: tokens
  secret: {secretName: {{ .Values.tokens.secret }}}
{{- end }}
{{- if .Values.certificates.secret }}
- name: certificates
  secret: {secretName: {{ .Values.certificates.secret }}}
{{- end }}
{{- end }}

{{/* A path that a pod answers under the name localhost: the name under which kubelet asks is the pod's address. */}}
{{- define "retraind.probe" -}}
httpGet:
  path: {{ . }}
  port: http
  httpHeaders: [{name: Host, value: localhost}]
timeoutSeconds: 4
{{- end }}
