"""Signs in at a payer's door with Authlib (private_key_jwt), and tells what came.

Comes in   the folder of keys, the payer's base URL, the authority's file.
Goes out   one line of JSON: by algorithm what was granted, written and read; what was refused.
"""

import json
import sys
import time

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey

folder, base, authority = sys.argv[1:4]
found = requests.get(f"{base}/.well-known/smart-configuration", verify=authority, timeout=60)
endpoint = found.json()["token_endpoint"]


def session(kind, **claims):
    kinds = {"ES384": ECKey, "RS384": RSAKey}
    with open(f"{folder}/file-{kind}.pem", "rb") as file:
        key = kinds[kind].import_key(file.read())
    made = OAuth2Session("file", key, scope="system/Practitioner.cruds",
                         token_endpoint_auth_method="private_key_jwt")
    sign = PrivateKeyJWT(endpoint, claims or None, {"kid": f"file-{kind}"}, kind)
    made.register_client_auth_method(sign)
    made.verify, made.trust_env = authority, False
    return made


def token(made):
    try:
        granted = made.fetch_token(endpoint, grant_type="client_credentials")
        return {"scope": granted["scope"], "expires_in": granted["expires_in"]}
    except OAuthError as refused:
        return {"error": refused.error, "words": refused.description}


told = {}
for kind in ("ES384", "RS384"):
    client = session(kind, exp=int(time.time()) + 240)
    told[kind] = token(client)
    if "scope" not in told[kind]:
        continue
    record = {"resourceType": "Practitioner", "id": f"authlib-{kind.lower()}", "active": True}
    url = f"{base}/Practitioner/{record['id']}"
    headers = {"Content-Type": "application/fhir+json"}
    told[kind]["put"] = client.put(url, data=json.dumps(record), headers=headers).status_code
    told[kind]["read"] = client.get(url).json()["active"]
    told[kind]["again"] = token(client)
told["an hour, as it would be"] = token(session("ES384"))
print(json.dumps(told))
