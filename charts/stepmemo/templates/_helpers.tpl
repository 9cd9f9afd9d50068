{{/* By this label the objects are found again: by kubectl, by `stepmemo uninstall`. */}}
{{- define "stepmemo.labels" -}}
app.kubernetes.io/part-of: stepmemo
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image, which has to be named: no registry is right for every cluster. */}}
{{- define "stepmemo.image" -}}
{{- $name := required "image.repository: name the image of stepmemo that your nodes pull, for example registry.example/stepmemo" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $name }}@{{ .Values.image.digest }}
{{- else -}}
{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* One list of controllers feeds the server, the admission policy and the webhooks. */}}
{{- define "stepmemo.controllerAccounts" -}}
{{- $accounts := list -}}
{{- range required "controllers: name the workflow controllers, each with namespace and serviceAccount" .Values.controllers -}}
{{- $accounts = append $accounts (printf "system:serviceaccount:%s:%s" .namespace .serviceAccount) -}}
{{- end -}}
{{- join "," $accounts -}}
{{- end }}

{{/* Helm takes every number for a float, and would write a large whole one as 8e+06. */}}
{{- define "stepmemo.number" -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* The server's settings as environment variables: `logLevel` becomes STEPMEMO_LOG_LEVEL. */}}
{{- define "stepmemo.settings" -}}
STEPMEMO_CONTROLLER_ACCOUNTS: {{ include "stepmemo.controllerAccounts" . | quote }}
STEPMEMO_CONTROLLER_NAMESPACE: {{ (first .Values.controllers).namespace | quote }}
STEPMEMO_OWN_NAMESPACE: {{ .Release.Namespace | quote }}
STEPMEMO_OWN_ACCOUNT: {{ printf "system:serviceaccount:%s:stepmemo" .Release.Namespace | quote }}
STEPMEMO_CAPTURE_URL: {{ printf "https://stepmemo.%s.svc:8444" .Release.Namespace | quote }}
{{- if .Values.certificates.existingSecret }}
STEPMEMO_CERT_SOURCE: "file"
STEPMEMO_CERT_DIR: "/etc/stepmemo/tls"
{{- end }}
{{- range $name, $value := .Values.settings }}
STEPMEMO_{{ $name | snakecase | upper }}: {{ if kindIs "map" $value }}{{ toJson $value | quote }}{{ else if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if kindIs "float64" $value }}{{ include "stepmemo.number" $value | quote }}{{ else }}{{ toString $value | quote }}{{ end }}
{{- end }}
{{- end }}

{{/* Annotations of ours that a pod may carry, as a list in CEL; the lines after the first stand as deep as in the policies. */}}
{{- define "stepmemo.ownAnnotations" -}}
['stepmemo.io/decision', 'stepmemo.io/reason', 'stepmemo.io/outputs-digest', 'stepmemo.io/moved-from',
          'stepmemo.io/key', 'stepmemo.io/cache', 'stepmemo.io/max-age', 'stepmemo.io/capture',
          'stepmemo.io/allow-resource', 'stepmemo.io/reuse', 'stepmemo.io/copied-from', 'stepmemo.io/restore',
          'stepmemo.io/restore-key', 'stepmemo.io/restore-cache', 'stepmemo.io/restore-max-age']
{{- end }}
