#!/bin/sh
# Makes the secrets that compose.yaml reads, each in a file of its own in secrets/ beside this script; keeps what is there.
# Run it once before the first `docker compose up`. The API key in secrets/http_key is for who sends readings over HTTP.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets

random() {
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

for name in clickhouse_default clickhouse_admin clickhouse_writer clickhouse_reader grafana_admin console_admin; do
    [ -s "$name" ] || random > "$name"
done
for name in http_key metrics_key; do
    [ -s "$name" ] || { printf 'sg_' && random; } > "$name"
done

sha256() {
    sha256sum < "$1" | cut -d ' ' -f 1
}

# What the HTTP service keeps of its keys.
printf 'STREAMGAUGE_HTTP__KEYS={ sender = { sha256 = "%s", roles = ["write"] }, reader = { sha256 = "%s", roles = ["read"] } }\n' \
    "$(sha256 http_key)" "$(sha256 metrics_key)" > http.env
# Containers read them as users of their own; the directory keeps others on this machine out.
chmod 0444 ./*
echo "secrets are in $(pwd)"
