// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package flatjson writes and reads the flat encoding of segments: one record a line, as a JSON object whose keys are
// the columns that the ClickHouse exporter of opentelemetry-collector-contrib fills, so that
//
//	INSERT INTO otel_logs FORMAT JSONEachRow
//
// makes of a file the rows that the exporter makes of the same records, column for column. A line holds what a row
// holds and no more: attribute values are text, and what has no column (a span's flags, dropped counts, a metric's
// metadata, a log record's time of observation beside its own) is not written. Reading a line gives pdata
// that encodes to the same line, and that the exporter turns into the same row.
package flatjson
