#!/bin/sh
# Run by ClickHouse's image when its volume is empty: the users of infra/clickhouse/server/users.sql, with passwords from
# the secrets, which have no characters that sed or SQL would take otherwise.
set -eu
secret() {
    cat "/run/secrets/clickhouse_$1"
}
sed -e "s/change-me-admin/$(secret admin)/" -e "s/change-me-writer/$(secret writer)/" \
    -e "s/change-me-reader/$(secret reader)/" /streamgauge/users.sql |
    clickhouse-client --user default --password "$(secret default)" --multiquery
