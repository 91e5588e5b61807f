// Signs in at a payer's door with openid-client (private_key_jwt), and tells what came.
//
// Comes in   the folder of modules, the folder of keys, the payer's base URL.
// Goes out   one line of JSON: by algorithm what was granted, written and read; what was refused.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { webcrypto } from "node:crypto";
import { pathToFileURL } from "node:url";

const [modules, folder, base] = process.argv.slice(2);
const place = createRequire(`${modules}/`).resolve("openid-client");
const oauth = await import(pathToFileURL(place));
const found = await (await fetch(`${base}/.well-known/smart-configuration`)).json();

const kinds = {
  ES384: { name: "ECDSA", namedCurve: "P-384" },
  RS384: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
};

async function configured(kind, change) {
  const pem = await readFile(`${folder}/file-${kind}.pem`, "utf8");
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
  const key = await webcrypto.subtle.importKey("pkcs8", der, kinds[kind], false, ["sign"]);
  const sign = oauth.PrivateKeyJwt(
    { key, kid: `file-${kind}` },
    { [oauth.modifyAssertion]: (_, claims) => change(claims) },
  );
  // SMART's document names no issuer; this library wants one.
  const server = { issuer: base, token_endpoint: found.token_endpoint };
  return new oauth.Configuration(server, "file", {}, sign);
}

async function token(config) {
  try {
    return await oauth.clientCredentialsGrant(config, { scope: "system/Practitioner.cruds" });
  } catch (refused) {
    // It stops at the challenge of a 401 and leaves the body to be read.
    const body = refused.code === "OAUTH_WWW_AUTHENTICATE_CHALLENGE";
    const { error, error_description } = body ? await refused.response.json() : refused;
    return { error: error ?? String(refused), words: error_description };
  }
}

const told = {};
for (const kind of Object.keys(kinds)) {
  const config = await configured(kind, (claims) => {
    claims.aud = found.token_endpoint;
  });
  const granted = await token(config);
  told[kind] = { scope: granted.scope, expires_in: granted.expires_in, error: granted.error };
  if (!granted.access_token) continue;
  const record = { resourceType: "Practitioner", id: `openid-${kind.toLowerCase()}`, active: true };
  const url = new URL(`${base}/Practitioner/${record.id}`);
  const headers = new Headers({ "content-type": "application/fhir+json" });
  const ask = (method, body) =>
    oauth.fetchProtectedResource(config, granted.access_token, url, method, body, headers);
  told[kind].put = (await ask("PUT", JSON.stringify(record))).status;
  told[kind].read = (await (await ask("GET")).json()).active;
  told[kind].again = (await token(config)).scope;
}
told["the issuer as aud, as it would be"] = await token(await configured("ES384", () => {}));
console.log(JSON.stringify(told));
