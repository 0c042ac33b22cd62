"""Sends a link fetch and gets its result, with nothing but Python 3.

  LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
    python3 fetch.py TRACKING_URL IDEMPOTENCY_KEY ROW_ID

Prints one line for each answer: its status and its body.
"""
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
import urllib.request

base, key = os.environ["LINK_PEELER_URL"], os.environ["LINK_PEELER_KEY"]
secret = os.environ["LINK_PEELER_SECRET"].encode()
tracking_url, idempotency_key, row_id = sys.argv[1:]


def mac(text):
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def call(method, target, body, signature):
    """Sends a request; signature gets b"timestamp.nonce." to go on from."""
    timestamp, nonce = str(int(time.time())), secrets.token_urlsafe(18)
    request = urllib.request.Request(base + target, method=method, data=body, headers={
        "X-Link-Peeler-Key": key,
        "X-Link-Peeler-Timestamp": timestamp,
        "X-Link-Peeler-Nonce": nonce,
        "X-Link-Peeler-Signature": signature(f"{timestamp}.{nonce}.".encode()),
    })
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=40) as answer:
        print(answer.status, answer.read().decode())
        return answer


def submit():
    """A fetch is signed over timestamp.nonce.body."""
    body = json.dumps({"idempotencyKey": idempotency_key, "trackingUrl": tracking_url, "source": "crm", "rowId": row_id}).encode()
    return call("POST", "/api/links/fetch", body, lambda prefix: mac(prefix + body))


def read(target):
    """Anything else is signed over timestamp.nonce.METHOD.target.body."""
    return call("GET", target, None, lambda prefix: "v2=" + mac(prefix + f"GET.{target}.".encode()))


submitted = submit()
read(submitted.headers["Location"] + "?wait=25")
submit()  # the same job again: its idempotency key makes that safe
