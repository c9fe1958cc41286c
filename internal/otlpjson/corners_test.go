// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"testing"
)

// corners are documents on which decoders differ easily; %-free, so that they can be read.
var corners = []string{
	``, ` `, `null`, ` null `, `{}`, ` { } `, `[]`, `1`, `"a"`, `{`, `}`, `{"resourceSpans":[{}]}`, `{"resourceSpans":[null,{},null]}`,
	`{"resourceSpans":null}`, `{"resourceSpans":{}}`, `{"resourceSpans":[{"resource":null,"scopeSpans":[{"scope":null,"spans":[null,{"status":null}]}]}]}`,
	`{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"00112233445566778899AABBCCDDEEFF","span_id":"","parent_span_id":"0011223344556677"}]}]}]}`,
	`{"resourceSpans":[{"schemaUrl":null,"schemaUrl":"b"}]}`,
	`{"resourceSpans":[{"deprecatedScopeSpans":[{"spans":[{"name":"a"}]}]},{"scopeSpans":[{}],"deprecatedScopeSpans":[{}]}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{},null,{"key":"a"},{"value":{"intValue":1}},{"value":{"stringValue":"v"},"key":"k"},{"key":"a","value":{}}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"b","intValue":"1"}},{"key":"b","value":{"intValue":"1","stringValue":"b"},"key":"c"}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":null}},{"key":"b","value":{"arrayValue":null}},{"key":"c","value":{"kvlistValue":null}},{"key":"d","value":null}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"boolValue":null}}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":"AQI="}},{"key":"b","value":{"bytesValue":""}}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":"AQI"}}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":"\/w=="}}]}}]}`,
	`{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":null}}]}}]}`,
	`{"resourceSpans":[{"resource":{"droppedAttributesCount":4294967295}}]}`, `{"resourceSpans":[{"resource":{"droppedAttributesCount":"4294967296"}}]}`,
	`{"resourceSpans":[{"resource":{"droppedAttributesCount":-1}}]}`, `{"resourceSpans":[{"resource":{"droppedAttributesCount":1.0}}]}`, `{"resourceSpans":[{"resource":{"droppedAttributesCount":"01"}}]}`,
	`{"resourceSpans":[{"resource":{"droppedAttributesCount":null}}]}`, `{"resourceSpans":[{"resource":{"droppedAttributesCount":""}}]}`, `{"resourceSpans":[{"resource":{"droppedAttributesCount":"\u0031"}}]}`,
	`{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":18446744073709551615,"endTimeUnixNano":"18446744073709551615"}]}]}]}`,
	`{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"18446744073709551616"}]}]}]}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":-1,"traceId":"","status":{"code":99}}]}]}]}`,
	`{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_CLIENT","status":{"code":"STATUS_CODE_ERROR"}},{"kind":"CLIENT"}]}]}]}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":null}]}]}]}`,
	`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":null}]}]}]}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0"}]}]}]}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0011223344556677889900112233445g"}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"\ud800\n\ud83d\ude00\udc00\ud800\u0041\ud800\ud800\udc00\u00e9\/\b\f\r\t\\\""}}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":-9223372036854775808}},{"body":{"intValue":"-9223372036854775808"}},{"body":{"intValue":-0}},{"body":{"intValue":"+5"}}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":9223372036854775808}}]}]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":- 5}}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"doubleValue":"NaN"}},{"body":{"doubleValue":"-Infinity"}},{"body":{"doubleValue":"0x1p-2"}},{"body":{"doubleValue":1e5}},{"body":{"doubleValue":-0.0}}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"doubleValue":1e999}}]}]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"doubleValue":01.5}}]}]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"x":1e999}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"x":0.1e60,"y":1}]}]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_WARN3"},{"severityNumber":"SEVERITY_NUMBER_TRACE "}]}]}]}`,
	`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"arrayValue":{"values":[null,{},{"stringValue":"a"}],"values":[{}]}}},{"body":{"kvlistValue":{"values":[{"key":"a"},{"key":"a"},null]}}}]}]}]}`,
	`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":null},{"sum":{"dataPoints":[null]}},{"gauge":{"dataPoints":[{"asInt":1}]},"sum":{}},{"histogram":{"dataPoints":[{"bucketCounts":["1",2],"bucketCounts":[3],"explicitBounds":null,"sum":0}]}}]}]}]}`,
	`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{"dataPoints":[{"positive":{"offset":-1,"bucketCounts":[]},"positive":{"bucketCounts":["1"]},"negative":null,"scale":"-5","zeroThreshold":"1"}]}}]}]}]}`,
	`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"isMonotonic":null}}]}]}]}`, `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[{"asDouble":1,"asInt":"2"}]}}]}]}]}`,
}

func TestCorners(t *testing.T) {
	for _, doc := range corners {
		for _, s := range signals {
			s.agree(t, []byte(doc))
		}
	}
}
