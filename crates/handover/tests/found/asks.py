"""Posts Bundles as they come with fhirpy, then asks for what they hold.

Comes in   base URL, access token, the authority's file; on stdin the files, then questions.
Goes out   one line of JSON: the places of the entries, then the ids that each question found.
"""

import gzip
import json
import sys

from fhirpy import SyncFHIRClient

base, token, authority = sys.argv[1:]
tls = {"verify": authority}
client = SyncFHIRClient(base, authorization=f"Bearer {token}", requests_config=tls)


def posted(path):
    with gzip.open(path) as file:
        answer = client.execute("", method="post", data=json.load(file))
    return [entry["response"]["location"] for entry in answer["entry"]]


def found(kind, parameters):
    named = {}
    for name, value in parameters:
        named.setdefault(name, []).append(value)
    search = client.resources(kind).search(**named)
    ids = [resource.id for resource in search.limit(50).fetch_all()]
    return {"ids": ids, "total": search.count()}


def everything(patient):
    places, path, params = [], f"Patient/{patient}/$everything", {"_count": 50}
    while path:
        bundle = client.execute(path, method="get", params=params)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            places.append(f"{resource['resourceType']}/{resource['id']}")
        following = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
        path, params = (following[0] if following else None), None
    return places


for line in sys.stdin:
    asked = json.loads(line)
    if "files" in asked:
        told = [posted(path) for path in asked["files"]]
    elif "patient" in asked:
        told = everything(asked["patient"])
    else:
        told = found(asked["kind"], asked["parameters"])
    print(json.dumps(told), flush=True)
