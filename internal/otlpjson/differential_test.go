// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// signal is both decoders of a signal, each with what it decodes as protobuf: that holds all that pdata does.
type signal struct {
	name            string
	reference, ours func(doc []byte) ([]byte, error)
	generate        func(generator) []byte
}

func newSignal[D any](name string, empty func() D, reference func([]byte) (D, error), ours func([]byte, D) error,
	proto, marshal func(D) ([]byte, error), generate func(generator) D,
) signal {
	bytesOf := func(d D, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return proto(d)
	}
	return signal{
		name:      name,
		reference: func(doc []byte) ([]byte, error) { return bytesOf(reference(doc)) },
		ours: func(doc []byte) ([]byte, error) {
			d := empty()
			return bytesOf(d, ours(doc, d))
		},
		generate: func(g generator) []byte {
			doc, err := marshal(generate(g))
			if err != nil {
				panic(err)
			}
			return doc
		},
	}
}

var signals = []signal{
	newSignal("traces", ptrace.NewTraces, (&ptrace.JSONUnmarshaler{}).UnmarshalTraces, DecodeTraces,
		(&ptrace.ProtoMarshaler{}).MarshalTraces, (&ptrace.JSONMarshaler{}).MarshalTraces, generator.traces),
	newSignal("logs", plog.NewLogs, (&plog.JSONUnmarshaler{}).UnmarshalLogs, DecodeLogs,
		(&plog.ProtoMarshaler{}).MarshalLogs, (&plog.JSONMarshaler{}).MarshalLogs, generator.logs),
	newSignal("metrics", pmetric.NewMetrics, (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics, DecodeMetrics,
		(&pmetric.ProtoMarshaler{}).MarshalMetrics, (&pmetric.JSONMarshaler{}).MarshalMetrics, generator.metrics),
}

var (
	emptyKey  = regexp.MustCompile(`""[ \t\r\n]*:`)
	longInt   = regexp.MustCompile(`[0-9]{10}`)
	traceName = `"SEVERITY_NUMBER_TRACE"`
)

// depthOf is how many brackets are open at once, strings aside.
func depthOf(doc []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// agree holds our decoder to the reference: the same pdata or both an error, but for the deviations of doc.go.
func (s signal) agree(t testing.TB, doc []byte) (decoded bool) {
	t.Helper()
	given := bytes.Clone(doc)
	want, refErr := s.reference(doc)
	got, err := s.ours(doc)
	require.Equal(t, given, doc, "the document was written to")
	noName := emptyKey.Match(doc)
	switch {
	case err == nil && refErr == nil:
		if !noName {
			require.Equal(t, want, got, "%s of %q", s.name, doc)
		}
	case err == nil:
		require.True(t, noName || strings.Contains(string(doc), traceName), "%s: the reference alone fails: %v\n%q", s.name, refErr, doc)
	case refErr == nil:
		known := !json.Valid(doc) || depthOf(doc) > MaxDepth || longInt.Match(doc) || noName
		require.True(t, known, "%s: the reference takes it: %v\n%q", s.name, err, doc)
	}
	return err == nil
}

// TestAgreesWithTheReference runs over documents with any of the fields of OTLP, as the reference writes them, spelled
// otherwise, changed in meaning, and damaged.
func TestAgreesWithTheReference(t *testing.T) {
	const n = 120
	for _, s := range signals {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var decoded [4]int
			for seed := range n {
				g := generator{rand.New(rand.NewPCG(uint64(seed), 7))}
				doc := s.generate(g)
				spelled := respell(g.Rand, doc, false)
				for i, doc := range [][]byte{doc, spelled, respell(g.Rand, doc, true), damage(g.Rand, spelled)} {
					if s.agree(t, doc) {
						decoded[i]++
					}
				}
			}
			require.Equal(t, n, decoded[0], "of the documents of the reference")
			require.Equal(t, n, decoded[1], "of those spelled otherwise")
			for _, d := range decoded[2:] { // both ways are taken
				require.Greater(t, d, n/20)
				require.Less(t, d, n)
			}
		})
	}
}

func fuzz(f *testing.F, s signal) {
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 3))}
		doc := s.generate(g)
		f.Add(doc)
		f.Add(respell(g.Rand, doc, seed%2 == 0))
	}
	for _, doc := range corners {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { s.agree(t, doc) })
}

func FuzzTraces(f *testing.F)  { fuzz(f, signals[0]) }
func FuzzLogs(f *testing.F)    { fuzz(f, signals[1]) }
func FuzzMetrics(f *testing.F) { fuzz(f, signals[2]) }
