"""Signs in at a payer's door with PyJWT and cryptography, rightly and wrongly, and tells what came.

Comes in   `make`, `smart`, `anywhere` or `udap`, a folder, the payer's base URL; more by name=value.
Goes out   files in the folder, or one line of JSON: for each case the status and what was said.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import os
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

act, folder, base = sys.argv[1:4]
given = dict(word.split("=", 1) for word in sys.argv[4:])
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT = "https://clinic.example/app"
COMMUNITY = "urn:example:community"


def place(name):
    return os.path.join(folder, name)


def write(name, data):
    with open(place(name), "wb") as file:
        file.write(data)
    os.chmod(place(name), 0o600)


def read(name):
    with open(place(name), "rb") as file:
        return file.read()


# ---- keys and certificates ----------------------------------------------------------------------


def new_key(kind):
    if kind == "RS384":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP384R1())


def pem(key):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return key.private_bytes(*form, serialization.NoEncryption())


def load(name):
    return serialization.load_pem_private_key(read(name), None)


def jwk(key, kind, kid):
    """The public key, as PyJWT writes it."""
    algorithm = jwt.get_algorithm_by_name(kind)
    public = json.loads(algorithm.to_jwk(key.public_key()))
    public.pop("key_ops", None)
    return public | {"kid": kid, "use": "sig", "alg": kind}


def certificate(name, key, issuer=None, issuer_key=None, names=(), days=90):
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = issuer is None
    made = x509.CertificateBuilder().subject_name(subject)
    made = made.issuer_name(subject if authority else issuer.subject)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=2))
    made = made.not_valid_after(now + datetime.timedelta(days=days))
    made = made.add_extension(x509.BasicConstraints(authority, None), True)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False)
    usage |= {"digital_signature": not authority, "key_cert_sign": authority}
    made = made.add_extension(x509.KeyUsage(crl_sign=authority, **usage), True)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(list(names)), False)
    return made.sign(issuer_key or key, hashes.SHA384() if authority else hashes.SHA256())


def pem_of(made):
    return made.public_bytes(serialization.Encoding.PEM)


def x5c(*names):
    chain = [x509.load_pem_x509_certificate(read(name)) for name in names]
    ders = [one.public_bytes(serialization.Encoding.DER) for one in chain]
    return [base64.b64encode(der).decode() for der in ders]


def make():
    """Keys of three clients, a web server's certificate, and a community with its members."""
    for client in ("file", "url", "udap"):
        keys = []
        for kind in ("ES384", "RS384"):
            key = new_key(kind)
            write(f"{client}-{kind}.pem", pem(key))
            keys.append(jwk(key, kind, f"{client}-{kind}"))
        write(f"{client}.json", json.dumps({"keys": keys}).encode())
        # The public file of a house wants an authority of its own, and a key of its ledger.
        key = new_key("ES384")
        authority = certificate(f"{client} authority", key)
        write(f"{client}-authority.pem", pem_of(authority))
        if client == "url":
            web, own = x509.IPAddress(ipaddress.ip_address("127.0.0.1")), new_key("ES384")
            made = certificate("web", own, authority, key, [web])
            write("web.pem", pem_of(made) + pem(own))
    for community in ("community", "foreign"):
        authority_key = new_key("ES384")
        authority = certificate(community, authority_key)
        write(f"{community}.pem", pem_of(authority))
        members = {"payer": base, "client": CLIENT, "other": "https://other.example/app"}
        for member, uri in members.items():
            key, names = new_key("RS384"), [x509.UniformResourceIdentifier(uri)]
            made = certificate(member, key, authority, authority_key, names)
            write(f"{community}-{member}.pem", pem_of(made))
            write(f"{community}-{member}-key.pem", pem(key))


# ---- the payer's door ---------------------------------------------------------------------------


def send(method, path, body=None, kind=None, token=None):
    """Status and JSON of an answer."""
    url = path if "://" in path else f"{base}/{path}"
    request = urllib.request.Request(url, data=body, method=method)
    if kind:
        request.add_header("Content-Type", kind)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, context=tls, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read()
    try:
        return status, json.loads(text) if text else None
    except ValueError:
        return status, {"error": text.decode(errors="replace")}


def post_form(url, **members):
    return send("POST", url, urllib.parse.urlencode(members).encode(),
                "application/x-www-form-urlencoded")


def said(answer):
    """What an OAuth answer comes to: its status, and its error if it is one."""
    status, body = answer
    return [status, body.get("error")]


def use(answer, who):
    """Writes a record with the token of an answer, reads it again, and asks for what is not its."""
    token = answer[1]["access_token"]
    record = {"resourceType": "Practitioner", "id": f"by-{who}", "active": True}
    kind = "application/fhir+json"
    put = send("PUT", f"Practitioner/by-{who}", json.dumps(record).encode(), kind, token)
    got = send("GET", f"Practitioner/by-{who}", token=token)
    beyond = send("GET", "Patient?_count=1", token=token)
    return [put[0], got[0], got[1].get("active"), beyond[0]]


def now():
    return int(time.time())


def times(life=240, ago=0):
    return {"iat": now() - ago, "exp": now() - ago + life, "jti": str(uuid.uuid4())}


def by_hand(header, claims, sign):
    """A JWT that PyJWT would rather not make."""
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    parts = [json.dumps(part).encode() for part in (header, claims)]
    signed = b".".join(encode(part) for part in parts)
    return (signed + b"." + encode(sign(signed))).decode()


# ---- SMART Backend Services ---------------------------------------------------------------------


def smart():
    asked = []

    class Published(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = read("url.json")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", "max-age=300")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(given["port"])), Published)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(place("web.pem"))
    server.socket = own.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    status, found = send("GET", ".well-known/smart-configuration")
    endpoint = found["token_endpoint"]
    told = {"discovery": [status, found["token_endpoint_auth_methods_supported"]]}

    def assertion(client="file", kind="ES384", kid=None, key=None, headers=None, **changed):
        claims = {"iss": client, "sub": client, "aud": endpoint} | times() | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": kid or f"{client}-{kind}"} | (headers or {})
        return jwt.encode(claims, key or load(f"{client}-{kind}.pem"), kind, headers)

    def token(jwt, scope="system/Practitioner.cruds", **changed):
        form = {"grant_type": "client_credentials", "scope": scope,
                "client_assertion_type": BEARER, "client_assertion": jwt} | changed
        return post_form(endpoint, **form)

    for client in ("file", "url"):
        for kind in ("ES384", "RS384"):
            answer = token(assertion(client, kind))
            told[f"{client} {kind}"] = said(answer)
            if answer[0] == 200:
                told[f"{client} {kind} used"] = use(answer, f"{client}-{kind}".lower())
    told["asked for keys"] = len(asked)

    published = json.dumps(json.loads(read("file.json"))["keys"][0]).encode()
    key = load("file-ES384.pem").public_key()
    der = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    secrets = {"JWK": published, "DER": key.public_bytes(*der), "PEM": key.public_bytes(*spki)}
    claims = {"iss": "file", "sub": "file", "aud": endpoint}
    header = {"alg": "HS256", "typ": "JWT", "kid": "file-ES384"}
    wrong = {}
    for form, secret in secrets.items():
        def mac(signed, secret=secret):
            return hmac.new(secret, signed, hashlib.sha256).digest()

        wrong[f"HS256 with the public key as {form}"] = by_hand(header, claims | times(), mac)
    none = jwt.encode(claims | times(), None, "none", {"kid": "file-ES384"})
    wrong |= {
        "alg none": none,
        "RS256": jwt.encode(claims | times(), load("file-RS384.pem"), "RS256",
                            {"kid": "file-RS384"}),
        "wrong aud": assertion(aud=f"{base}/elsewhere"),
        "the base URL as aud": assertion(aud=base),
        "two audiences": assertion(aud=[endpoint, "https://else.example"]),
        "expired": assertion(**times(ago=900)),
        "lives too long": assertion(exp=now() + 3600),
        "of the future": assertion(iat=now() + 900, nbf=now() + 900, exp=now() + 1000),
        "no exp": assertion(exp=None),
        "no jti": assertion(jti=None),
        "unknown kid": assertion(kid="nobody"),
        "kid of the other key": assertion(kid="file-RS384"),
        "another client's key": assertion(key=load("url-ES384.pem")),
        "another client's key and kid": assertion(key=load("url-ES384.pem"), kid="url-ES384"),
        "an unknown client": assertion(iss="nobody", sub="nobody"),
        "sub is not iss": assertion(sub="url"),
        "a key in the header": assertion(
            key=load("url-ES384.pem"),
            headers={"jwk": jwk(load("url-ES384.pem"), "ES384", "file-ES384")}),
        "another jku": assertion("url", headers={"jku": "https://127.0.0.1:1/jwks.json"}),
        "no JWT": "x",
    }
    good = assertion()
    token(good)
    wrong["replayed"] = good
    told["wrong"] = {case: said(token(jwt)) for case, jwt in wrong.items()}
    told["forms"] = {
        "another grant": said(token(assertion(), grant_type="password")),
        "another kind of assertion": said(token(assertion(), client_assertion_type="saml")),
        "scopes of others": said(token(assertion(), scope="handover/operate user/*.cruds")),
        "no scope": said(token(assertion(), scope="")),
        "another client id": said(token(assertion(), client_id="url")),
        "no assertion": said(token("")),
    }
    told["garbled token"] = send("GET", "Practitioner", token="hd1.x.y")[0]
    print(json.dumps(told))


def anywhere():
    """Signs in at any server of SMART Backend Services, and reads."""
    endpoint = send("GET", ".well-known/smart-configuration")[1]["token_endpoint"]
    told = {}

    # One client for each kind of key: not every server can tell kinds apart.
    clients = {"ES384": "file", "RS384": "udap"}

    def token(kind="ES384", key=None, sign=None, **changed):
        client = clients[kind]
        claims = {"iss": client, "sub": client, "aud": endpoint} | times() | changed
        signer = key or load(f"{client}-{kind}.pem")
        kid = {"kid": f"{client}-{kind}"}
        signed = sign(claims) if sign else jwt.encode(claims, signer, kind, kid)
        return post_form(endpoint, grant_type="client_credentials", scope="system/Practitioner.rs",
                         client_assertion_type=BEARER, client_assertion=signed)

    for kind in ("ES384", "RS384"):
        answer = token(kind)
        told[kind] = [answer[0], sorted(answer[1])]
        if answer[0] == 200:
            held = answer[1]["access_token"]
            told[kind] += [send("GET", path, token=held)[0] for path in ("Practitioner", "Patient")]
    again = times()
    told["first use"] = said(token(**again))
    told["second use"] = said(token(**again))
    told["alg none"] = said(token(sign=lambda claims: jwt.encode(claims, None, "none")))
    told["wrong aud"] = said(token(aud=base))
    told["expired"] = said(token(**times(ago=900)))
    told["an hour"] = said(token(**times(life=3600)))
    told["another's key"] = said(token(key=load("url-ES384.pem")))
    told["an unknown client"] = said(token(iss="nobody", sub="nobody"))
    told["nobody's token"] = send("GET", "Practitioner", token="x")[0]
    print(json.dumps(told))


# ---- UDAP ---------------------------------------------------------------------------------------


def udap():
    path = ".well-known/udap?" + urllib.parse.urlencode({"community": COMMUNITY})
    status, found = send("GET", path)
    signed = found["signed_metadata"]
    header = jwt.get_unverified_header(signed)
    leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    # Raises unless the community's authority has signed it.
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(read("community.pem")))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    needs = ["iss", "sub", "iat", "exp", "jti", "token_endpoint", "registration_endpoint"]
    claims = jwt.decode(signed, leaf.public_key(), ["RS256"], {"require": needs})
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    told = {"metadata": [status, claims["iss"] == claims["sub"] == base, base in uris]}
    endpoint, register = claims["token_endpoint"], claims["registration_endpoint"]

    def sign(claims, chain="community-client", key=None, kind="RS256"):
        signer = load(f"{key or chain}-key.pem")
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, signer, kind, {"x5c": x5c(f"{chain}.pem")})

    def statement(more=None, **signed):
        claims = {"iss": CLIENT, "sub": CLIENT, "aud": register, "client_name": "PyJWT",
                  "contacts": ["mailto:it@clinic.example"], "grant_types": ["client_credentials"],
                  "token_endpoint_auth_method": "private_key_jwt",
                  "scope": "system/Practitioner.cruds"} | times(300) | (more or {})
        return sign(claims, **signed)

    def registered(jwt):
        body = {"software_statement": jwt, "certifications": [], "udap": "1"}
        return send("POST", register, json.dumps(body).encode(), "application/json")

    told["statements"] = {case: said(registered(jwt)) for case, jwt in {
        "a foreign authority": statement(chain="foreign-client"),
        "another's key": statement(key="community-other"),
        "another's certificate": statement(chain="community-other"),
        "RS512": statement(kind="RS512"),
        "wrong aud": statement({"aud": endpoint}),
        "expired": statement(times(300, ago=900)),
        "lives too long": statement(times(301)),
        "sub is not iss": statement({"sub": base}),
        "two grants": statement({"grant_types": ["client_credentials", "authorization_code"]}),
        "no mail address": statement({"contacts": ["https://clinic.example"]}),
        "no scope": statement({"scope": None}),
    }.items()}
    mine = statement()
    answer = registered(mine)
    client = answer[1].get("client_id")
    told["registered"] = [answer[0], answer[1].get("software_statement") == mine]
    told["registered twice by one statement"] = said(registered(mine))
    again = registered(statement({"client_name": "PyJWT again"}))
    told["registered again"] = [again[0], again[1].get("client_id") == client]

    purpose = ["urn:oid:2.16.840.1.113883.5.8#HPAYMT"]
    b2b = {"version": "1", "organization_id": "https://clinic.example", "purpose_of_use": purpose}

    def assertion(more=None, extension=b2b, **signed):
        claims = {"iss": client, "sub": client, "aud": endpoint} | times() | (more or {})
        claims["extensions"] = {"hl7-b2b": extension} if extension else None
        return sign(claims, **signed)

    def token(jwt, **changed):
        form = {"grant_type": "client_credentials", "client_assertion_type": BEARER,
                "client_assertion": jwt, "scope": "system/Practitioner.cruds",
                "udap": "1"} | changed
        return post_form(endpoint, **form)

    good = assertion()
    answer = token(good)
    told["token"] = said(answer)
    told["token used"] = use(answer, "udap") if answer[0] == 200 else answer
    told["tokens"] = {case: said(token(jwt)) for case, jwt in {
        "replayed": good,
        "a foreign authority": assertion(chain="foreign-client"),
        "another's key": assertion(key="community-other"),
        "another's certificate": assertion(chain="community-other"),
        "an unknown client": assertion({"iss": "nobody", "sub": "nobody"}),
        "wrong aud": assertion({"aud": base}),
        "expired": assertion(times(240, ago=900)),
        "no hl7-b2b": assertion(extension=None),
        "version 2": assertion(extension=b2b | {"version": "2"}),
        "a purpose of no list": assertion(extension=b2b | {"purpose_of_use": ["HMARKT"]}),
    }.items()}
    told["another scope"] = said(token(assertion(), scope="system/Device.cruds"))
    ended = registered(statement({"grant_types": []}))
    told["cancelled"] = [ended[0], ended[1].get("grant_types")]
    held = answer[1].get("access_token", "x")
    told["after the end"] = [said(token(assertion())), send("GET", "Practitioner", token=held)[0]]
    print(json.dumps(told))


if act != "make":
    tls = ssl.create_default_context(cafile=given["authority"])
{"make": make, "smart": smart, "anywhere": anywhere, "udap": udap}[act]()
