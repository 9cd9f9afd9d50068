#!/usr/bin/env bash
# Makes a certificate authority and a server certificate for stepmemo with openssl alone, without any cluster.
#   make-certificates.sh FOLDER [--namespace stepmemo] [--service stepmemo] [--days 365]
# An authority that is in FOLDER already (ca.crt, ca.key) is used again; the server certificate is always new.
set -euo pipefail

usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0" >&2
  exit 2
}

folder='' namespace=stepmemo service=stepmemo days=365
while [ $# -gt 0 ]; do
  case $1 in
    --namespace) namespace=${2:?} && shift ;;
    --service) service=${2:?} && shift ;;
    --days) days=${2:?} && shift ;;
    -*) usage ;;
    *) [ -z "$folder" ] && folder=$1 || usage ;;
  esac
  shift
done
[ -n "$folder" ] || usage
command -v openssl >/dev/null || { echo "openssl is needed" >&2 && exit 1; }

umask 077
mkdir -p "$folder"
cd "$folder"

if [ ! -e ca.crt ] || [ ! -e ca.key ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=stepmemo CA" -keyout ca.key -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
fi

openssl req -newkey rsa:2048 -nodes -sha256 -subj "/CN=$service" -keyout tls.key.new -out tls.csr
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days "$days" -out tls.crt.new \
  -extfile <(
    echo "basicConstraints=critical,CA:FALSE"
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=serverAuth"
    echo "subjectAltName=DNS:$service.$namespace.svc,DNS:$service.$namespace.svc.cluster.local,DNS:$service.$namespace,DNS:$service,DNS:$service-leader.$namespace.svc,DNS:$service-followers.$namespace.svc"
  )
mv tls.key.new tls.key
mv tls.crt.new tls.crt
rm tls.csr
openssl verify -CAfile ca.crt tls.crt

cat <<TEXT

Made in $PWD: tls.crt, tls.key, ca.crt. Keep ca.key away from the cluster. Next:

  kubectl create namespace $namespace --dry-run=client -o yaml | kubectl apply -f -
  kubectl -n $namespace create secret generic $service-tls --dry-run=client -o yaml \\
    --from-file=$PWD/tls.crt --from-file=$PWD/tls.key --from-file=$PWD/ca.crt | kubectl apply -f -
  kubectl apply -k manifests/overlays/own-certificates
TEXT
