// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/flatjson"
	"github.com/tailrace/tailrace/internal/segment"
)

// encoder makes lines of one batch at a time. What it returns is valid until the next call.
type encoder interface {
	Traces(td ptrace.Traces) ([]segment.Part, otlpjson.Stats)
	Logs(ld plog.Logs) ([]segment.Part, otlpjson.Stats)
	Metrics(md pmetric.Metrics) ([]segment.Part, otlpjson.Stats)
}

func newEncoder(cfg *Config) encoder {
	if cfg.Encoding == EncodingFlatJSON {
		return flat{flatjson.NewEncoder(cfg.MaxLineBytes)}
	}
	return otlpjson.NewEncoder(cfg.MaxLineBytes)
}

type flat struct{ enc *flatjson.Encoder }

func (f flat) Traces(td ptrace.Traces) ([]segment.Part, otlpjson.Stats) {
	parts, stats := f.enc.Traces(td)
	return parts, otlpjson.Stats(stats)
}

func (f flat) Logs(ld plog.Logs) ([]segment.Part, otlpjson.Stats) {
	parts, stats := f.enc.Logs(ld)
	return parts, otlpjson.Stats(stats)
}

func (f flat) Metrics(md pmetric.Metrics) ([]segment.Part, otlpjson.Stats) {
	parts, stats := f.enc.Metrics(md)
	return parts, otlpjson.Stats(stats)
}
