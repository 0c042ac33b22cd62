"""Checks the signatures against the published vectors: python3 test_vectors.py"""
import base64
import json
import pathlib
import unittest

from linkrelay import sign_iklim, sign_query, sign_v1, sign_v2

VECTORS = pathlib.Path(__file__).parents[2] / "signature" / "testdata"


class Vectors(unittest.TestCase):
    def check(self, scheme, sign):
        vectors = json.loads((VECTORS / f"{scheme}.json").read_text("utf-8"))["vectors"]
        valid = [v for v in vectors if v["valid"]]
        for v in valid:
            with self.subTest(v["name"]):
                body = base64.b64decode(v["bodyBase64"]) if "bodyBase64" in v else v.get("body", "").encode()
                self.assertEqual(sign(v, body), v["signature"])
        print(f"{scheme}: {len(valid)} signatures")

    def test_link_peeler(self):
        self.check("link-peeler", lambda v, body: sign_v1(v["secret"], v["timestamp"], v["nonce"], body)
                   if v["version"] == "v1"
                   else sign_v2(v["secret"], v["timestamp"], v["nonce"], v["method"], v["target"], body))

    def test_iklim(self):
        self.check("iklim", lambda v, body: sign_iklim(v["secret"], v["timestamp"], v["method"], v["target"], body))

    def test_signed_query(self):
        names = ("idempotencyKey", "trackingUrl", "source", "rowId")
        self.check("signed-query", lambda v, _: sign_query(
            v["secret"], v["keyId"], v["timestamp"], *(v["job"][n] for n in names if v["creates"]),
            digest=v["algorithm"].replace("hmac-", "")))


if __name__ == "__main__":
    unittest.main()
