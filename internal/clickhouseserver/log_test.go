// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestLogLevels(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	fatal := 0
	w := &logWriter{logger: zap.New(core), fatal: func() { fatal++ }}
	for _, chunk := range []string{
		`{"level":"Error","logger_name":"executeQuery","query_id":"q","message":"Code: 1, Stack trace (when copying this message, always include the lines below):\n\n0. x"}`, "\n",
		`{"level":"Warn`, `ing","message":"w"}` + "\n" + `{"level":"Information","message":"i"}` + "\n",
		`{"level":"Error","logger_name":"MergeTask","message":"e"}` + "\n" + `{"level":"Warning","message":"Temporarily pause scheduling of tasks with id 1"}` + "\n",
		`{"level":"Warning","logger_name":"MergeMutateSelectedEntry","message":"MergeMutateSelectedEntry was not finalized, the finalization will happen in the destructor"}` + "\n",
		`{"level":"Trace","message":"t"}` + "\n\n", "plain text\r\n",
		`{"level":"Fatal","message":"Received signal"}` + "\n", `{"level":"Fatal","message":"0. ? @ 0x01"}` + "\n",
		strings.Repeat("x", 3*maxLogLine) + "\n", "no newline",
	} {
		n, err := w.Write([]byte(chunk))
		assert.NoError(t, err)
		assert.Len(t, chunk, n)
	}
	w.flush()
	got := make([]string, 0, 12)
	for _, e := range seen.All() {
		got = append(got, e.Level.String()+" "+e.Message[:min(40, len(e.Message))])
	}
	assert.Equal(t, []string{
		"info ClickHouse: Code: 1", "warn ClickHouse: w", "info ClickHouse: i", "error ClickHouse: e", "debug ClickHouse: Temporarily pause scheduling", "debug ClickHouse: MergeMutateSelectedEntry was", "debug ClickHouse: t", "warn ClickHouse: plain text",
		"error ClickHouse: Received signal", "debug ClickHouse: 0. ? @ 0x01", "warn ClickHouse: " + strings.Repeat("x", 28), "warn ClickHouse: no newline",
	}, got)
	assert.Equal(t, 2, fatal)
	assert.Equal(t, map[string]any{"clickhouse.logger": "executeQuery", "clickhouse.query_id": "q"}, seen.All()[0].ContextMap())
	assert.Contains(t, w.lastWords(), "plain text | xxx")
}

func FuzzParseLogLine(f *testing.F) {
	f.Add([]byte(`{"level":"Error","message":"m","query_id":"q"}`))
	f.Add([]byte("\xff\x00 plain"))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, _ := parseLogLine(line)
		if !utf8.ValidString(l.Message) {
			t.Fatalf("invalid UTF-8: %q", l.Message)
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	f.Add("ClickHouse local version 26.7.2.1.")
	f.Fuzz(func(t *testing.T, text string) {
		if v, ok := parseVersion(text); ok && v.before(v) {
			t.Fatal(v)
		}
	})
}
