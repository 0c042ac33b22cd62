#!/bin/sh
# Checks the signatures against the published vectors: sh test_vectors.sh
# A shell cannot read JSON, nor hold every byte in a variable: Python makes one
# file of each member.
set -eu
cd "$(dirname "$0")"
# shellcheck source=linkrelay.sh
LINKRELAY_SOURCED=1 . ./linkrelay.sh

vectors=$(mktemp -d)
trap 'rm -rf "$vectors"' EXIT
python3 - ../../signature/testdata "$vectors" <<'END'
import base64, json, pathlib, sys

source, files = map(pathlib.Path, sys.argv[1:])
for scheme in "link-peeler", "iklim", "signed-query":
    for number, v in enumerate(v for v in json.loads((source / f"{scheme}.json").read_text("utf-8"))["vectors"] if v["valid"]):
        directory = files / scheme / str(number)
        directory.mkdir(parents=True)
        body = base64.b64decode(v["bodyBase64"]) if "bodyBase64" in v else v.get("body", "").encode()
        for name, value in {**v, **v.get("job", {})}.items():
            (directory / name).write_bytes(str(value).encode())
        (directory / "body").write_bytes(body)
END

get() { cat "$vector/$1"; }

for scheme in link-peeler iklim signed-query; do
	count=0
	for vector in "$vectors/$scheme"/*; do
		LINKRELAY_SECRET=$(get secret)
		case $scheme in
		link-peeler)
			case $(get version) in
			v1) got=$(sign_v1 "$(get timestamp)" "$(get nonce)" "$vector/body") ;;
			v2) got=$(sign_v2 "$(get timestamp)" "$(get nonce)" "$(get method)" "$(get target)" "$vector/body") ;;
			esac
			;;
		iklim) got=$(sign_iklim "$(get timestamp)" "$(get method)" "$(get target)" "$vector/body") ;;
		signed-query)
			algorithm=$(get algorithm)
			set -- "${algorithm#hmac-}" "$(get keyId)" "$(get timestamp)"
			[ "$(get creates)" = False ] || set -- "$@" "$(get idempotencyKey)" "$(get trackingUrl)" "$(get source)" "$(get rowId)"
			got=$(sign_query "$@")
			;;
		esac
		if [ "$got" != "$(get signature)" ]; then
			echo "$scheme, $(get name): $got, want $(get signature)"
			exit 1
		fi
		count=$((count + 1))
	done
	echo "$scheme: $count signatures"
done
