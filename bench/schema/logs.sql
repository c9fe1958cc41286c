-- Log lines as runner_log and OTLP send them: batches of some dozens from one server with consecutive uids, few messages that differ in
-- their numbers, some JSON, some stack traces; a fifth belongs to a trace. In order of arrival.
INSERT INTO {into} (Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceSchemaUrl, ResourceAttributes, ScopeSchemaUrl, ScopeName,
    ScopeVersion, ScopeAttributes, LogAttributes, EventName)
WITH
    (SELECT groupArray(w) FROM (SELECT lower(substring(hex(sipHash64(number)), 1, 3 + number % 6)) AS w FROM numbers(2000))) AS words,
    '0123456789ABCDEFGHJKMNPQRSTVWXYZ' AS digits,
    intDiv(number, 40) AS batch, number % 40 AS k, sipHash64({seed}, batch) AS h, sipHash64({seed}, number, 'log') AS r,
    toUInt32(floor(20 * pow((h % 100000) / 100000., 2))) AS project, bitShiftRight(h, 20) % 3 AS service, bitShiftRight(h, 8) % 4 AS server,
    toInt64({from}) * 1000 + intDiv(batch * toUInt64({span_seconds}) * 1000, intDiv({rows}, 40)) AS ms, r % 100 AS kind,
    bitShiftRight(r, 8) % 5 = 0 AS traced, lower(hex(sipHash128({seed}, intDiv(number, 8), 'trace'))) AS traceid,
    sipHash64({seed}, batch, 'uid') % 1000000000000 + k AS low
SELECT
    fromUnixTimestamp64Nano(ms * 1000000 + k * 350000 + r % 300000) AS Timestamp,
    if(traced, traceid, '') AS TraceId, if(traced, lower(hex(sipHash64(r, 'sid'))), '') AS SpanId, toUInt8(traced) AS TraceFlags,
    multiIf(kind < 2, 'ERROR', kind < 7, 'WARN', kind < 80, 'INFO', 'DEBUG') AS SeverityText, multiIf(kind < 2, 17, kind < 7, 13, kind < 80, 9, 5) AS SeverityNumber,
    concat('svc-', toString(project), '-', toString(service)) AS ServiceName,
    multiIf(
        kind < 2, concat('Error: upstream answered 500 for order ', toString(r % 1000000), '\n    at fetchOrder (/app/src/orders.js:', toString(r % 400), ':17)\n    at async handler (/app/src/server.js:88:5)\n    at async Agent.run (/app/node_modules/@mastra/core/dist/agent.js:1204:11)'),
        kind < 7, concat('retrying ', words[1 + r % 50], ' attempt ', toString(r % 5), ' after ', toString(r % 3000), 'ms'),
        kind < 40, concat('GET /v1/', words[1 + r % 20], '/', toString(bitShiftRight(r, 20) % 1000000), ' 200 ', toString(r % 900), 'ms'),
        kind < 60, concat('agent-', toString(r % 40), ' step ', toString(r % 12), ': ', arrayStringConcat(arrayMap(i -> words[1 + sipHash64(r, i) % 2000], range(6 + r % 14)), ' ')),
        kind < 80, concat('request id=', lower(hex(sipHash64(r))), ' user=user-', toString(r % 5000), ' tokens=', toString(r % 4000), ' done'),
        concat('cache ', if(r % 2 = 0, 'hit', 'miss'), ' key=', words[1 + r % 300], ':', toString(r % 9000))) AS Body,
    '' AS ResourceSchemaUrl,
    map('service.name', ServiceName, 'project.id', concat('project-', toString(project)), 'deployment.id', concat('dep-', toString(project), '-', toString(service)),
        'server.id', concat('server-', toString(project), '-', toString(service), '-', toString(server)), 'host.name', concat('host-', toString(server)),
        'process.pid', toString(1000 + project * 10 + server), 'process.executable.name', 'node') AS ResourceAttributes,
    '' AS ScopeSchemaUrl, 'tailrace/runner' AS ScopeName, '' AS ScopeVersion, CAST(map(), 'Map(LowCardinality(String), String)') AS ScopeAttributes,
    map('log.iostream', if(kind < 7, 'stderr', 'stdout'),
        'log.record.uid', concat('01', arrayStringConcat(arrayMap(i -> substring(digits, 1 + bitAnd(bitShiftRight(toUInt64(ms), 5 * i), 31), 1), [7, 6, 5, 4, 3, 2, 1, 0])),
            arrayStringConcat(arrayMap(i -> substring(digits, 1 + sipHash64(h, i) % 32, 1), range(8))), arrayStringConcat(arrayMap(i -> substring(digits, 1 + bitAnd(bitShiftRight(low, 5 * i), 31), 1), [7, 6, 5, 4, 3, 2, 1, 0])))) AS LogAttributes,
    '' AS EventName
FROM numbers({offset}, {count})
