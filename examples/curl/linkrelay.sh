#!/bin/sh
# Sends signed requests to linkrelay, with nothing but sh, curl and openssl.
#
#   export LINKRELAY_URL=… LINKRELAY_KEY=lp_live_… LINKRELAY_SECRET=lps_…
#   sh linkrelay.sh submit 'https://example.com/click?id=7' newsletter row-7
#   sh linkrelay.sh wait job_…
#
# LINKRELAY_SCHEME says how to sign: link-peeler (the default), link-peeler-v1,
# iklim or signed-query. openssl takes the secret as an argument, which others
# on this machine can see while it runs: on a shared machine use another example.
set -eu

GOOD_FOR=240 # seconds that a signed request may be sent again: the relay allows 300, and clocks differ

# Signatures. The HMAC key is the secret's own text; what is signed comes from
# standard input, because a variable can hold neither every byte nor a last newline.

hmac_hex() { openssl dgst -sha256 -hmac "$LINKRELAY_SECRET" -r | cut -d ' ' -f 1; }

# link-peeler v1, for POST /api/links/fetch only: TIMESTAMP (seconds) NONCE BODY_FILE
sign_v1() { { printf '%s' "$1.$2." && cat "$3"; } | hmac_hex; }

# link-peeler v2, for every call; the target is path and query exactly as sent:
# TIMESTAMP NONCE METHOD TARGET BODY_FILE
sign_v2() { printf 'v2=%s\n' "$({ printf '%s' "$1.$2.$3.$4." && cat "$5"; } | hmac_hex)"; }

# iklim, for every call: TIMESTAMP (milliseconds) METHOD TARGET BODY_FILE
sign_iklim() { { printf '%s' "$2|$3|$1|" && cat "$4"; } | hmac_hex; }

# signed-query: sha256 (or sha1) ACCESS_ID EXPIRES and, to create a job, its four
# values, not yet percent-encoded. A newline goes between them, none at the end.
sign_query() {
	{ printf '%s' "$2" && shift 2 && printf '\n%s' "$@"; } |
		openssl dgst "-$1" -hmac "$LINKRELAY_SECRET" -binary | openssl base64 -A
}

# --- requests ---

# uuid prints a UUID of version 4 (RFC 9562 §5.4).
uuid() { openssl rand -hex 16 | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.*\)/\1-\2-4\3-a\4-\5/'; }

# encode percent-encodes every byte of its argument, which is always allowed.
encode() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

# quote makes a JSON string of its argument, which must have no control characters.
quote() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

# member NAME prints a text of the answer, the first one of that name.
member() {
	rest=$(cat "$work/answer")
	case $rest in *"\"$1\":\""*) ;; *) return 0 ;; esac
	rest=${rest#*"\"$1\":\""}
	printf '%s' "${rest%%\"*}"
}

# sign METHOD TARGET [the four values of a job]: leaves url, headers and body of
# a request that may be sent for GOOD_FOR seconds.
sign() {
	method=$1 target=$2 now=$(date +%s)
	shift 2
	: >"$work/body" && : >"$work/headers"
	if [ "$scheme" = signed-query ]; then
		expires=$((now + 300))
		query="AccessID=$LINKRELAY_KEY&Expires=$expires&Signature=$(encode "$(sign_query sha256 "$LINKRELAY_KEY" "$expires" "$@")")"
		[ $# -eq 0 ] || query="idempotencyKey=$(encode "$1")&trackingUrl=$(encode "$2")&source=$(encode "$3")&rowId=$(encode "$4")&$query"
		case $target in *\?*) target="$target&$query" ;; *) target="$target?$query" ;; esac
		return
	fi
	if [ $# -gt 0 ]; then
		printf '{"idempotencyKey":%s,"trackingUrl":%s,"source":%s,"rowId":%s}' \
			"$(quote "$1")" "$(quote "$2")" "$(quote "$3")" "$(quote "$4")" >"$work/body"
		echo 'Content-Type: application/json' >"$work/headers"
	fi
	if [ "$scheme" = iklim ]; then
		# date knows no milliseconds everywhere; three random digits keep two requests of one second apart.
		timestamp=$now$(printf '%03d' $((0x$(openssl rand -hex 2) % 1000)))
		cat >>"$work/headers" <<-END
			X-Api-Key: $LINKRELAY_KEY
			X-Timestamp: $timestamp
			X-Nonce: $(uuid)
			X-Idempotency-Key: ${1:-$(uuid)}
			X-Signature: $(sign_iklim "$timestamp" "$method" "$target" "$work/body")
		END
		return
	fi
	nonce=$(openssl rand -hex 16)
	case $scheme$target in
	link-peeler-v1/api/links/fetch) signature=$(sign_v1 "$now" "$nonce" "$work/body") ;;
	*) signature=$(sign_v2 "$now" "$nonce" "$method" "$target" "$work/body") ;;
	esac
	cat >>"$work/headers" <<-END
		X-Link-Peeler-Key: $LINKRELAY_KEY
		X-Link-Peeler-Timestamp: $now
		X-Link-Peeler-Nonce: $nonce
		X-Link-Peeler-Signature: $signature
	END
}

# send sends what sign left. The answer is in status and $work/answer; status 599
# and curl's own words if none came.
send() {
	set -- -sS -g -X "$method" -m 40 -H "@$work/headers" -D "$work/head" -o "$work/answer" -w '%{http_code}'
	[ ! -s "$work/body" ] || set -- "$@" --data-binary "@$work/body"
	: >"$work/answer" && : >"$work/head"
	status=$(curl "$@" "${LINKRELAY_URL%/}$target" 2>"$work/failure") || {
		status=599
		mv "$work/failure" "$work/answer"
	}
}

# call takes what sign takes and sends it until it is answered for good. 429 and
# 503 use nothing up, not even the nonce: the same bytes go again. Where nobody
# knows what arrived, the request is signed anew, and the idempotency key sees
# to it that it stays one job.
call() {
	signed=
	for pause in 1 2 4 8 0; do # seconds before the next try where the relay names none; 0 ends
		resent=$signed
		[ "$signed" ] || sign "$@"
		signed=yes
		send
		case $status$resent in
		2??*) return ;;
		429* | 503*) ;;
		5??* | 409yes) signed= ;;
		*) break ;;
		esac
		asked=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\).*/\1/p' "$work/head")
		seconds=${asked:-$pause}
		if [ "$pause" -eq 0 ] || [ $(($(date +%s) + seconds)) -gt $((now + GOOD_FOR)) ]; then break; fi
		sleep "$seconds"
	done
	problem >&2
	exit 1
}

# problem shows the relay's refusal (RFC 9457); its code is stable.
problem() {
	code=$(member code) diagnosis=$(member diagnosis)
	printf '%s %s: %s\n' "$status" "${code:-no_answer_of_the_relay}" "$(member detail)"
	[ -z "$diagnosis" ] || printf 'diagnosis: %s\n' "$diagnosis"
	cat "$work/answer"
	echo
}

# create PATH TRACKING_URL SOURCE ROW_ID IDEMPOTENCY_KEY: iklim wants a UUID, the
# others take any text. Again under the same key is safe: it stays one job.
create() { call POST "$1" "$5" "$2" "$3" "$4"; }

# wait_for reads a job until it is final, which it is when it expires at the latest.
wait_for() {
	while :; do
		call GET "/api/links/jobs/$(encode "$1")?wait=25"
		case $(member state) in succeeded | dead | cancelled | expired) return ;; esac
		sleep 1 # a relay that is shutting down answers at once
	done
}

main() {
	: "${LINKRELAY_URL:?set it}" "${LINKRELAY_KEY:?set it}" "${LINKRELAY_SECRET:?set it}"
	scheme=${LINKRELAY_SCHEME:-link-peeler}
	case $scheme in
	link-peeler | link-peeler-v1 | iklim | signed-query) ;;
	*) echo 'LINKRELAY_SCHEME must be one of link-peeler, link-peeler-v1, iklim, signed-query' >&2 && exit 1 ;;
	esac
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	case ${1:-}$# in
	submit[45]) create /api/links/fetch "$2" "$3" "$4" "${5:-$(uuid)}" ;;
	verify[45]) create /api/links/verify "$2" "$3" "$4" "${5:-$(uuid)}" ;;
	wait2) wait_for "$2" ;;
	cancel2) call DELETE "/api/links/jobs/$(encode "$2")" ;;
	find2) call GET "/api/links/jobs?idempotencyKey=$(encode "$2")" ;;
	quota1) call GET /api/links/quota ;;
	*)
		echo 'usage: linkrelay.sh submit|verify TRACKING_URL SOURCE ROW_ID [IDEMPOTENCY_KEY]
       linkrelay.sh wait|cancel JOB_ID
       linkrelay.sh find IDEMPOTENCY_KEY
       linkrelay.sh quota' >&2
		exit 1
		;;
	esac
	cat "$work/answer"
	echo
}

# LINKRELAY_SOURCED=1 . ./linkrelay.sh gives a script of yours the functions alone.
[ "${LINKRELAY_SOURCED:-}" ] || main "$@"
