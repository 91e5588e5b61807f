"""Reads what a plan holds with fhirpy, and tells what came as one line of JSON.

Comes in   base URL, access token, the authority's file; on stdin the ids to look for.
Goes out   counts, ids and statuses.
"""

import json
import sys

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, OperationOutcome, ResourceNotFound

base, token, authority = sys.argv[1:]
wanted = json.load(sys.stdin)
tls = {"verify": authority}
client = SyncFHIRClient(base, authorization=f"Bearer {token}", requests_config=tls)


def ids(resources):
    return [resource.id for resource in resources]


def found(kind, **parameters):
    return client.resources(kind).search(**parameters)


pages = {"asked": 0}
ask = client._do_request


def counted(*words, **named):
    pages["asked"] += 1
    return ask(*words, **named)


told = {"version": client.execute("metadata", method="get").fhirVersion}
told["by_id"] = ids(found("Patient", _id=wanted["patient"]).fetch_all())
told["by_encounter"] = ids(found("Observation", encounter=wanted["encounter"]).fetch_all())
told["from_the_start"] = found("Observation", _lastUpdated="ge2020-01-01").count()
told["from_the_future"] = found("Observation", _lastUpdated="ge2120-01-01").count()
client._do_request = counted
told["by_patient"] = ids(found("Observation", patient=wanted["patient"]).limit(2).fetch_all())
told["pages"] = pages["asked"]
client._do_request = ask

encounter = client.reference("Encounter", wanted["encounter"]).to_resource()
told["encounter"] = encounter.serialize()
told["its_patient"] = encounter.subject.to_resource().id

patient = client.reference("Patient", wanted["patient"]).to_resource()
patient["active"] = "changed here"
patient.refresh()  # sends the bare versionId, and keeps what it has when told 304
told["kept"] = patient["active"] == "changed here"
path = f"Patient/{patient.id}"
for name, tag in [("etag", f'W/"{patient.meta.versionId}"'), ("other_etag", 'W/"999"')]:
    headers = {"If-None-Match": tag}
    told[name] = ask("get", path, extra_headers=headers, returning_status=True)[1]

try:
    client.reference("Patient", "none").to_resource()
except ResourceNotFound as refused:
    told["unknown"] = json.loads(str(refused))
try:
    found("Patient", colour="red").fetch()
except OperationOutcome as refused:
    told["unsupported"] = refused.resource
try:
    SyncFHIRClient(base, authorization="Bearer none", requests_config=tls).reference(
        "Patient", wanted["patient"]
    ).to_resource()
except AuthorizationError as refused:
    told["stranger"] = json.loads(str(refused))

print(json.dumps(told))
