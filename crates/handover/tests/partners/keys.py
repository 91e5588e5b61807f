"""Makes a key as smart-fetch signs in with it: two files, the private set and the public one."""

import json
import sys

from jwcrypto import jwk

private, public = sys.argv[1:3]
key = jwk.JWK.generate(kty="EC", crv="P-384", kid="platform-1", alg="ES384")
with open(private, "w") as file:
    json.dump({"keys": [{**key.export_private(as_dict=True), "key_ops": ["sign"]}]}, file)
with open(public, "w") as file:
    json.dump({"keys": [key.export_public(as_dict=True)]}, file)
