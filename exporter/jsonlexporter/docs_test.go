// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/otlpjson"
	"github.com/tailrace/tailrace/internal/flatjson"
	"github.com/tailrace/tailrace/internal/segment"
)

const specification = "../../docs/format/jsonl.md"

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}

func blocks(doc, lang string) (found []string) {
	for _, m := range regexp.MustCompile("(?s)```"+lang+"\n(.*?)```").FindAllStringSubmatch(doc, -1) {
		found = append(found, m[1])
	}
	return found
}

// The example lines of the specification are what the exporter writes, byte for byte.
func TestSpecificationExamples(t *testing.T) {
	doc := read(t, specification)
	for _, s := range []string{segment.SuffixOpen, segment.SuffixPending, segment.SuffixZstd, segment.SuffixZstdOpen, segment.DirProcessed, segment.DirFailed, segment.LockName, otlpjson.AttrRepaired, "scores"} {
		assert.Contains(t, doc, s)
	}
	flat := strings.TrimSpace(blocks(doc, "json")[1])
	ftd := ptrace.NewTraces()
	require.NoError(t, flatjson.DecodeSpan([]byte(flat), ftd))
	fparts, _ := flatjson.NewEncoder(1 << 20).Traces(ftd)
	assert.Equal(t, flat+"\n", string(fparts[0].Data))

	lines := strings.Split(strings.TrimSpace(blocks(doc, "json")[0]), "\n")
	require.Len(t, lines, 3)
	enc := otlpjson.NewEncoder(1 << 20)
	td, err := (&ptrace.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalTraces([]byte(lines[0]))
	require.NoError(t, err)
	parts, _ := enc.Traces(td)
	assert.Equal(t, lines[0]+"\n", string(parts[0].Data))
	ld, err := (&plog.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalLogs([]byte(lines[1]))
	require.NoError(t, err)
	parts, _ = enc.Logs(ld)
	assert.Equal(t, lines[1]+"\n", string(parts[0].Data))
	md, err := (&pmetric.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalMetrics([]byte(lines[2]))
	require.NoError(t, err)
	parts, _ = enc.Metrics(md)
	assert.Equal(t, lines[2]+"\n", string(parts[0].Data))
}

// The shell examples run on real segments. They need jq, which CI has; on a developer's machine without it only their
// number is checked.
func TestSpecificationCommands(t *testing.T) {
	dir := t.TempDir()
	p := create(t, settings(), testConfig(dir))
	p.start(t, componenttest.NewNopHost())
	require.NoError(t, p.traces.ConsumeTraces(t.Context(), agentTraces(3)))
	require.NoError(t, p.logs.ConsumeLogs(t.Context(), logs("shop", "one", "two")))
	p.shutdown(t)

	// The same for the commands that read compressed and flat segments.
	packed, flat := t.TempDir(), t.TempDir()
	for _, cfg := range []*Config{testConfig(packed), testConfig(flat)} {
		cfg.Compression = CompressionZstd
		if cfg.Path == flat {
			cfg.Compression, cfg.Encoding = CompressionNone, EncodingFlatJSON
		}
		p := create(t, settings(), cfg)
		p.start(t, componenttest.NewNopHost())
		require.NoError(t, p.traces.ConsumeTraces(t.Context(), agentTraces(2)))
		p.shutdown(t)
	}
	folders := []string{dir, dir, dir, packed, flat}

	commands := blocks(read(t, specification), "sh")
	want := []string{
		"chat gpt-4o\t1000\nchat gpt-4o\t1000\nchat gpt-4o\t1000\n", "one\ntwo\n", "{\n  \"shop\": 3\n}\n",
		"chat gpt-4o\nchat gpt-4o\n", "chat gpt-4o\tgpt-4o\t1000\nchat gpt-4o\tgpt-4o\t1000\n",
	}
	require.Len(t, commands, len(want))
	if _, err := exec.LookPath("jq"); err != nil {
		require.Empty(t, os.Getenv("CI"), "jq is not installed")
		t.Log("jq is not installed")
		return
	}
	for i, command := range commands {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = folders[i]
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, want[i], string(out))
	}
}

// Every option stands in the README's table.
func TestReadmeNamesEveryOption(t *testing.T) {
	doc := read(t, "README.md")
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for f := range typ.Fields() {
			key := prefix + f.Tag.Get("mapstructure")
			if f.Type.Kind() == reflect.Struct {
				walk(key+"::", f.Type)
				continue
			}
			assert.Contains(t, doc, "| `"+key+"` |")
		}
	}
	walk("", reflect.TypeFor[Config]())
}
