// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Commands for this very address, for empty states and advice.

/** OTLP listens beside the console: the same host, the port of the protocol. */
export const otlpEndpoint = (): string => `http://${host()}:4318`;

export const sendLog = (project: string): string =>
  `curl -s ${otlpEndpoint()}/v1/logs -H 'Content-Type: application/json' -d '{"resourceLogs":[{
  "resource":{"attributes":[{"key":"project.id","value":{"stringValue":"${project}"}},
    {"key":"service.name","value":{"stringValue":"hello"}}]},
  "scopeLogs":[{"logRecords":[{"timeUnixNano":"'$(date +%s%N)'","severityNumber":9,
    "body":{"stringValue":"hello from curl"}}]}]}]}'`;

export const sdkEnvironment = (project: string, server: string): string =>
  `export OTEL_EXPORTER_OTLP_ENDPOINT=${otlpEndpoint()}
export OTEL_RESOURCE_ATTRIBUTES=project.id=${project},server.id=${server}
export OTEL_SERVICE_NAME=${server}`;

export const wrapProcess = (project: string, server: string): string => `tailctl run --project ${project} --server ${server} -- node server.mjs`;

function host(): string {
  const name = typeof location === 'undefined' ? '' : location.hostname;
  return name.includes(':') ? `[${name.replace(/^\[|\]$/g, '')}]` : name || 'localhost';
}
