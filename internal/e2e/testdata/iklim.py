"""Sends a link fetch and gets its result, signed as seed 004 describes, with
nothing but Python 3.

  LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
    python3 iklim.py TRACKING_URL IDEMPOTENCY_KEY ROW_ID

Prints one line for each answer: its status and its body.
"""
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

base, key = os.environ["LINK_PEELER_URL"], os.environ["LINK_PEELER_KEY"]
secret = os.environ["LINK_PEELER_SECRET"].encode()
tracking_url, idempotency_key, row_id = sys.argv[1:]


def call(method, target, idempotency_key, body=b""):
    timestamp = str(time.time_ns() // 1_000_000)
    signed = f"{method}|{target}|{timestamp}|".encode() + body
    request = urllib.request.Request(base + target, method=method, data=body or None, headers={
        "X-Api-Key": key,
        "X-Signature": hmac.new(secret, signed, hashlib.sha256).hexdigest(),
        "X-Timestamp": timestamp,
        "X-Nonce": str(uuid.uuid4()),
        "X-Idempotency-Key": idempotency_key,
    })
    if body:
        request.add_header("Content-Type", "application/json")
    try:
        answer = urllib.request.urlopen(request, timeout=40)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        text = answer.read().decode()
        print(answer.status, text)
        return json.loads(text)


body = json.dumps({"trackingUrl": tracking_url, "source": "crm", "rowId": row_id}).encode()
job = call("POST", "/api/links/fetch", idempotency_key, body)
call("GET", f"/api/links/jobs/{job['jobId']}?wait=25", str(uuid.uuid4()))
call("POST", "/api/links/fetch", idempotency_key, body)  # refused: the key was used, for this job
