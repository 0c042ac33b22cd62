#!/bin/sh
# Sends a link fetch and gets its result with URLs alone: each carries a signed
# authentication parameter as seed 003 builds it (append, encrypt, encodeBase64,
# encodeURL), with nothing but curl and openssl.
#
#   LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
#     sh query.sh sha1|sha256 TRACKING_URL IDEMPOTENCY_KEY ROW_ID
#
# Prints one line for each answer: its status and its body.
set -eu
digest=$1 tracking_url=$2 idempotency_key=$3 row_id=$4

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

expires=$(($(date +%s) + 240))

# Every byte as its percent-escape: nothing can go wrong then.
escape() { od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

# authentication BASE_STRING prints the three parameters that sign it.
authentication() {
	value=$(printf '%s' "$1" | openssl dgst "-$digest" -hmac "$LINK_PEELER_SECRET" -binary | openssl base64 -A | escape)
	printf 'AccessID=%s&Expires=%s&signedAuthentication=%s' "$LINK_PEELER_KEY" "$expires" "$value"
}

get() {
	status=$(curl -sS -o "$answer" -w '%{http_code}' "$1")
	printf '%s %s\n' "$status" "$(cat "$answer")"
}

key=$(printf '%s' "$idempotency_key" | escape)

# Creating is signed over AccessID, Expires and the four values, as they are
# before escaping, with a newline between.
create="$LINK_PEELER_URL/api/links/fetch?idempotencyKey=$key&trackingUrl=$(printf '%s' "$tracking_url" | escape)&source=crm&rowId=$(printf '%s' "$row_id" | escape)&$(
	authentication "$LINK_PEELER_KEY
$expires
$idempotency_key
$tracking_url
crm
$row_id")"

# Reading is signed over AccessID and Expires.
read="$LINK_PEELER_URL/api/links/jobs?idempotencyKey=$key&wait=25&$(
	authentication "$LINK_PEELER_KEY
$expires")"

get "$create"
get "$read"
get "$create" # the same job again: its idempotency key makes that safe
