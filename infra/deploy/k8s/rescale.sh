#!/bin/sh
# Another number of workers, or the same with another image or configuration: writes workers.yaml into an overlay, stops
# all workers together, applies the overlay, waits until all are ready. Nothing is lost: they go on from the last epoch.
#
#   infra/deploy/k8s/rescale.sh OVERLAY WORKERS
#
# More workers than the topics have partitions have nothing to read. KUBECTL: another kubectl, with options.
# --write-only: as third argument, to look at workers.yaml before anything is stopped.
set -eu
[ $# -ge 2 ] || { sed -n '5p' "$0" | cut -c 5- >&2; exit 2; }
overlay="$1" workers="$2"
case "$workers" in
    '' | *[!0-9]* | 0*) echo "WORKERS = '$workers': expected a number of at least 1" >&2; exit 2 ;;
esac
[ -f "$overlay/kustomization.yaml" ] || { echo "$overlay: no kustomization.yaml there" >&2; exit 2; }

name=streamgauge-worker
{
    echo "# Written by infra/deploy/k8s/rescale.sh: the number of workers, and where each listens for the others."
    printf 'apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: %s\nspec:\n  replicas: %s\n' "$name" "$workers"
    printf '  template:\n    spec:\n      containers:\n        - name: worker\n          args:\n'
    printf '            - %s\n' --config /etc/streamgauge/streamgauge.toml run sensors
    if [ "$workers" -gt 1 ]; then
        printf '            - %s\n' '--process-id=$(POD_INDEX)'
        i=0
        while [ "$i" -lt "$workers" ]; do
            printf '            - %s\n' "--address=$name-$i.$name:2101"
            i=$((i + 1))
        done
    fi
} > "$overlay/workers.yaml.new"
mv "$overlay/workers.yaml.new" "$overlay/workers.yaml"
[ "${3:-}" != --write-only ] || exit 0

kubectl="${KUBECTL:-kubectl}"
namespace="$(sed -n 's/^namespace: *//p' "$overlay/kustomization.yaml")"
in="--namespace=${namespace:-default}"
labels=app.kubernetes.io/name=streamgauge,app.kubernetes.io/component=worker
$kubectl "$in" scale "statefulset/$name" --replicas=0
# Where none is left kubectl has nothing to wait for, and calls that an error.
$kubectl "$in" wait --for=delete pod "--selector=$labels" --timeout=180s ||
    [ -z "$($kubectl "$in" get pod "--selector=$labels" --output=name)" ]
$kubectl apply --kustomize "$overlay"
$kubectl "$in" wait "--for=jsonpath={.status.readyReplicas}=$workers" "statefulset/$name" --timeout=600s
echo "$workers workers are ready"
