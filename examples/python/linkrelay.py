#!/usr/bin/env python3
"""Sends signed requests to linkrelay, with nothing but Python's standard library.

    export LINKRELAY_URL=… LINKRELAY_KEY=lp_live_… LINKRELAY_SECRET=lps_…
    python3 linkrelay.py submit 'https://example.com/click?id=7' newsletter row-7
    python3 linkrelay.py wait job_…

LINKRELAY_SCHEME says how to sign: link-peeler (the default), link-peeler-v1,
iklim or signed-query. As a module: Platform(url, key, secret).submit(…), or
only the four sign_… functions.
"""
import base64
import hmac
import http.client
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import quote, urlencode

SCHEMES = ("link-peeler", "link-peeler-v1", "iklim", "signed-query")
FINAL = ("succeeded", "dead", "cancelled", "expired")
GOOD_FOR = 240  # seconds that a signed request may be sent again: the relay allows 300, and clocks differ
PAUSES = (1, 2, 4, 8, None)  # seconds before the next try where the relay names none; None ends


# Signatures. The HMAC key is the secret's own text; the body is every byte that is sent.

def mac(secret, base, digest="sha256"):
    return hmac.new(secret.encode(), base, digest)


def sign_v1(secret, timestamp, nonce, body):
    """link-peeler v1, for POST /api/links/fetch only. timestamp is in seconds."""
    return mac(secret, f"{timestamp}.{nonce}.".encode() + body).hexdigest()


def sign_v2(secret, timestamp, nonce, method, target, body):
    """link-peeler v2, for every call. target is path and query exactly as sent."""
    return "v2=" + mac(secret, f"{timestamp}.{nonce}.{method}.{target}.".encode() + body).hexdigest()


def sign_iklim(secret, timestamp, method, target, body):
    """iklim, for every call. timestamp is in milliseconds."""
    return mac(secret, f"{method}|{target}|{timestamp}|".encode() + body).hexdigest()


def sign_query(secret, *values, digest="sha256"):
    """signed-query. values: AccessID, Expires and, to create a job, its four, not yet percent-encoded."""
    return base64.b64encode(mac(secret, "\n".join(values).encode(), digest).digest()).decode()


class Problem(Exception):
    """The relay's refusal (RFC 9457). Its code is stable."""

    def __init__(self, status, text):
        try:
            self.document = json.loads(text)
        except ValueError:  # something on the way to the relay answered, or nothing
            self.document = {"code": "no_answer_of_the_relay", "detail": text}
        self.status, self.code = status, self.document.get("code")
        super().__init__(f"{status} {self.code}: {self.document.get('detail')}")


class Platform:
    """Submits jobs and reads them. Methods return the relay's JSON, or raise Problem."""

    def __init__(self, url, key, secret, scheme="link-peeler"):
        self.url, self.key, self.secret, self.scheme = url.rstrip("/"), key, secret, scheme

    def submit(self, tracking_url, source, row_id, idempotency_key=None):
        """Creates a job. Submitting it again under its idempotency key is safe: it stays one job."""
        return self._call("POST", "/api/links/fetch", job_of(tracking_url, source, row_id, idempotency_key))

    def verify(self, tracking_url, source, row_id, idempotency_key=None):
        """Checks all that submit would, and creates nothing."""
        return self._call("POST", "/api/links/verify", job_of(tracking_url, source, row_id, idempotency_key))

    def wait(self, job_id):
        """Reads a job until it is final, which it is when it expires at the latest."""
        while True:
            job = self._call("GET", f"/api/links/jobs/{quote(job_id, safe='')}?wait=25")
            if job["state"] in FINAL:
                return job
            time.sleep(1)  # a relay that is shutting down answers at once

    def find(self, idempotency_key):
        return self._call("GET", "/api/links/jobs?" + urlencode({"idempotencyKey": idempotency_key}))

    def quota(self):
        return self._call("GET", "/api/links/quota")

    def cancel(self, job_id):
        return self._call("DELETE", f"/api/links/jobs/{quote(job_id, safe='')}")

    def _call(self, method, target, job=None):
        """Sends a request until it is answered for good.

        429 and 503 use nothing up, not even the nonce: the same bytes go again.
        Where nobody knows what arrived, the request is signed anew, and the
        idempotency key sees to it that it stays one job.
        """
        request = None
        for pause in PAUSES:
            resent = request is not None
            if not resent:
                request, end = self._signed(method, target, job), time.monotonic() + GOOD_FOR
            status, headers, text = send(request)
            if status < 300:
                return json.loads(text)
            refused = status in (429, 503)
            unknown = not refused and (status >= 500 or resent and status == 409)
            if pause and headers.get("Retry-After", "").isdigit():
                pause = int(headers["Retry-After"])
            if not (refused or unknown) or pause is None or time.monotonic() + pause > end:
                break
            if unknown:
                request = None
            time.sleep(pause)
        raise Problem(status, text)

    def _signed(self, method, target, job):
        """Returns a request that may be sent until GOOD_FOR seconds have passed."""
        if self.scheme == "signed-query":
            target += ("&" if "?" in target else "?") + self._query(job or {})
            return urllib.request.Request(self.url + target, method=method)
        body = json.dumps(job).encode() if job else b""
        if self.scheme == "iklim":
            headers = self._iklim(method, target, body, job)
        else:
            headers = self._link_peeler(method, target, body)
        if body:
            headers["Content-Type"] = "application/json"
        return urllib.request.Request(self.url + target, method=method, data=body or None, headers=headers)

    def _link_peeler(self, method, target, body):
        timestamp, nonce = str(int(time.time())), secrets.token_urlsafe(18)
        if self.scheme == "link-peeler-v1" and target == "/api/links/fetch":
            signature = sign_v1(self.secret, timestamp, nonce, body)
        else:
            signature = sign_v2(self.secret, timestamp, nonce, method, target, body)
        return {"X-Link-Peeler-Key": self.key, "X-Link-Peeler-Timestamp": timestamp,
                "X-Link-Peeler-Nonce": nonce, "X-Link-Peeler-Signature": signature}

    def _iklim(self, method, target, body, job):
        timestamp = str(time.time_ns() // 1_000_000)
        return {"X-Api-Key": self.key, "X-Timestamp": timestamp, "X-Nonce": str(uuid.uuid4()),
                "X-Idempotency-Key": job["idempotencyKey"] if job else str(uuid.uuid4()),
                "X-Signature": sign_iklim(self.secret, timestamp, method, target, body)}

    def _query(self, job):
        expires = str(int(time.time()) + 300)
        signature = sign_query(self.secret, self.key, expires, *job.values())
        return urlencode({**job, "AccessID": self.key, "Expires": expires, "Signature": signature})


def job_of(tracking_url, source, row_id, idempotency_key):
    return {"idempotencyKey": idempotency_key or str(uuid.uuid4()),  # iklim wants a UUID, the others any text
            "trackingUrl": tracking_url, "source": source, "rowId": row_id}  # in the order that sign_query signs


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The signature is for this address only."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def send(request):
    """Returns status, headers and text. Status 599: no answer came."""
    try:
        with OPENER.open(request, timeout=40) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()
    except (OSError, http.client.HTTPException) as reason:
        return 599, {}, str(reason)


USAGE = """usage: linkrelay.py submit|verify TRACKING_URL SOURCE ROW_ID [IDEMPOTENCY_KEY]
       linkrelay.py wait|cancel JOB_ID
       linkrelay.py find IDEMPOTENCY_KEY
       linkrelay.py quota"""


def main(command="", *args):
    counts = {"submit": (3, 4), "verify": (3, 4), "wait": (1,), "cancel": (1,), "find": (1,), "quota": (0,)}
    if len(args) not in counts.get(command, ()):
        sys.exit(USAGE)
    for name in ("LINKRELAY_URL", "LINKRELAY_KEY", "LINKRELAY_SECRET"):
        if not os.environ.get(name):
            sys.exit(f"set {name}")
    scheme = os.environ.get("LINKRELAY_SCHEME") or SCHEMES[0]
    if scheme not in SCHEMES:
        sys.exit("LINKRELAY_SCHEME must be one of " + ", ".join(SCHEMES))
    platform = Platform(*(os.environ["LINKRELAY_" + name] for name in ("URL", "KEY", "SECRET")), scheme)
    try:
        print(json.dumps(getattr(platform, command)(*args), indent=2, ensure_ascii=False))
    except Problem as problem:
        diagnosis = problem.document.get("diagnosis")
        sys.exit(f"{problem}\n" + (f"diagnosis: {diagnosis}\n" if diagnosis else "") + json.dumps(problem.document, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
