#!/bin/sh
# Sends a link fetch and gets its result, signed as seed 004 describes, with
# nothing but curl and openssl.
#
#   LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
#     sh iklim.sh TRACKING_URL IDEMPOTENCY_KEY ROW_ID
#
# Prints one line for each answer: its status and its body.
set -eu
tracking_url=$1 idempotency_key=$2 row_id=$3

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# A random UUID of version 4 has its version and variant in two fixed places.
uuid() { openssl rand -hex 16 | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\)$/\1-\2-4\3-a\4-\5/'; }

calls=0

# call METHOD TARGET IDEMPOTENCY_KEY SIGNED_BODY [curl options]
call() {
	method=$1 target=$2 key=$3 signed=$4
	shift 4
	calls=$((calls + 1))
	timestamp=$(date +%s)00$calls # milliseconds, which date cannot tell; no two calls may have the same
	signature=$(printf '%s' "$method|$target|$timestamp|$signed" | openssl dgst -sha256 -hmac "$LINK_PEELER_SECRET" | sed 's/^.*= *//')
	status=$(curl -sS -o "$answer" -w '%{http_code}' -X "$method" "$@" \
		-H "X-Api-Key: $LINK_PEELER_KEY" \
		-H "X-Signature: $signature" \
		-H "X-Timestamp: $timestamp" \
		-H "X-Nonce: $(uuid)" \
		-H "X-Idempotency-Key: $key" \
		"$LINK_PEELER_URL$target")
	printf '%s %s\n' "$status" "$(cat "$answer")"
}

# The values must need no escapes.
body=$(printf '{"trackingUrl":"%s","source":"crm","rowId":"%s"}' "$tracking_url" "$row_id")
submit() { call POST /api/links/fetch "$idempotency_key" "$body" -H 'Content-Type: application/json' --data-binary "$body"; }

submit
job=$(sed 's/.*"jobId":"\([^"]*\)".*/\1/' "$answer")
call GET "/api/links/jobs/$job?wait=25" "$(uuid)" ''
submit # refused: the key was used, for this job
