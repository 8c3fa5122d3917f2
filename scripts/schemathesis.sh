#!/bin/sh
# Property tests of a running service: scripts/schemathesis.sh URL KEY|none [options of `st run`].
# Keys are neither listed nor deleted: it would revoke the one that it runs with.
set -eu
url=$1 key=$2
shift 2
cd "$(dirname "$0")/.."
export PYTHONPATH=. SCHEMATHESIS_HOOKS=tests.contract.schemathesis_hooks
[ "$key" = none ] || set -- --header "Authorization: Bearer $key" "$@"
exec "${SCHEMATHESIS:-.venv/bin/schemathesis}" --config-file tests/contract/schemathesis.toml \
    run openapi.json --url "$url" --checks all \
    --exclude-operation-id keys_delete --exclude-operation-id keys_list "$@"
