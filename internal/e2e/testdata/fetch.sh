#!/bin/sh
# Sends a link fetch and gets its result, with nothing but curl and openssl.
#
#   LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
#     sh fetch.sh TRACKING_URL IDEMPOTENCY_KEY ROW_ID
#
# Prints one line for each answer: its status and its body.
set -eu
tracking_url=$1 idempotency_key=$2 row_id=$3

answer=$(mktemp)
trap 'rm -f "$answer" "$answer.headers"' EXIT

hmac() { openssl dgst -sha256 -hmac "$LINK_PEELER_SECRET" | sed 's/^.*= *//'; }

# call SIGNATURE_PREFIX BASE_STRING TARGET [curl options]: the base string is
# what follows "timestamp.nonce.".
call() {
	prefix=$1 base=$2 target=$3
	shift 3
	timestamp=$(date +%s)
	nonce=$(openssl rand -hex 16)
	signature=$prefix$(printf '%s' "$timestamp.$nonce.$base" | hmac)
	status=$(curl -sS -o "$answer" -D "$answer.headers" -w '%{http_code}' "$@" \
		-H "X-Link-Peeler-Key: $LINK_PEELER_KEY" \
		-H "X-Link-Peeler-Timestamp: $timestamp" \
		-H "X-Link-Peeler-Nonce: $nonce" \
		-H "X-Link-Peeler-Signature: $signature" \
		"$LINK_PEELER_URL$target")
	printf '%s %s\n' "$status" "$(cat "$answer")"
}

# A fetch is signed over timestamp.nonce.body. The values must need no escapes.
body=$(printf '{"idempotencyKey":"%s","trackingUrl":"%s","source":"crm","rowId":"%s"}' "$idempotency_key" "$tracking_url" "$row_id")
submit() { call '' "$body" /api/links/fetch -H 'Content-Type: application/json' --data-binary "$body"; }

# Anything else is signed over timestamp.nonce.METHOD.target.body.
read_job() { call 'v2=' "GET.$1." "$1"; }

submit
location=$(tr -d '\r' <"$answer.headers" | sed -n 's/^[Ll]ocation: //p')
read_job "$location?wait=25"
submit # the same job again: its idempotency key makes that safe
