// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestFlagValues(t *testing.T) {
	for _, c := range []struct {
		args, configs, sets []string
	}{
		{nil, nil, nil},
		{[]string{"--config", "a.yaml", "--config=b.yaml"}, []string{"a.yaml", "b.yaml"}, nil},
		{[]string{"validate", "--config=yaml:a: {b: c=d}"}, []string{"yaml:a: {b: c=d}"}, nil},
		{[]string{"--set=a.b=c", "--config", "x", "--set", "d=e=f"}, []string{"x"}, []string{"a.b=c", "d=e=f"}},
		{[]string{"--config"}, nil, nil},
		{[]string{"--configs=x", "config", "-config", "y", "--", "--config", "z"}, nil, nil},
	} {
		configs, sets := flagValues(c.args)
		assert.Equal(t, c.configs, configs, "%q", c.args)
		assert.Equal(t, c.sets, sets, "%q", c.args)
	}
}

// base is a configuration as one writes it, and the lines in it are counted below.
const base = `x: &shared
  path: /shared
  poll: 1s
exporters:
  jsonl:
    path: /a
    rotation:
      max_age: 1s
  jsonl/two:
    <<: *shared
    poll: 2s
  jsonl/three: *shared
exporters::jsonl/four::path: x
extensions:
  runner:
    servers:
      - id: a
        command: [a]
      - id: b
        command:
          - b
`

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	first := write("first.yaml", base)
	second := write("second.yaml", "# a comment\nexporters:\n  jsonl:\n    path: /b\n")
	lists := write("lists.yaml", "extensions:\n  runner:\n    servers:\n      - id: c\n")
	t.Setenv("TAILRACE_TEST_CONFIG", "exporters: {jsonl: {path: /e}}")

	one := []string{"--config", first}
	for name, c := range map[string]struct {
		args []string
		at   path
		want string
	}{
		"a key":                            {one, path{"exporters", "jsonl", "path"}, first + ":6"},
		"a key deeper":                     {one, path{"exporters", "jsonl", "rotation", "max_age"}, first + ":8"},
		"a key that is missing":            {one, path{"exporters", "jsonl", "rotation", "idle"}, first + ":7"},
		"nothing is written of it":         {one, path{"exporters", "jsonl", "a", "b"}, first + ":5"},
		"another component":                {one, path{"exporters", "clickhouse"}, ""},
		"merged in":                        {one, path{"exporters", "jsonl/two", "path"}, first + ":2"},
		"merged in and written":            {one, path{"exporters", "jsonl/two", "poll"}, first + ":11"},
		"an alias":                         {one, path{"exporters", "jsonl/three", "poll"}, first + ":3"},
		"a key of several steps":           {one, path{"exporters", "jsonl/four", "path"}, first + ":13"},
		"a part of a key of several steps": {one, path{"exporters", "jsonl/four"}, first + ":13"},
		"in a list":                        {one, path{"extensions", "runner", "servers", 1, "command"}, first + ":20"},
		"in a list in a list":              {one, path{"extensions", "runner", "servers", 1, "command", 0}, first + ":21"},
		"missing in a list":                {one, path{"extensions", "runner", "servers", 1, "dir"}, first + ":19"},

		"file:":                        {[]string{"--config=file:" + first}, path{"exporters", "jsonl", "path"}, first + ":6"},
		"the last one wins":            {[]string{"--config", first, "--config", second}, path{"exporters", "jsonl", "path"}, second + ":4"},
		"only the first one has it":    {[]string{"--config", first, "--config", second}, path{"exporters", "jsonl", "rotation"}, first + ":7"},
		"a list is replaced":           {[]string{"--config", first, "--config", lists}, path{"extensions", "runner", "servers", 0, "command"}, lists + ":4"},
		"yaml:":                        {[]string{"--config", first, "--config", "yaml:exporters: {jsonl: {path: x}}"}, path{"exporters", "jsonl", "path"}, "yaml:…"},
		"yaml: with steps":             {[]string{"--config", first, "--config", "yaml:exporters::jsonl::path: x"}, path{"exporters", "jsonl", "path"}, "yaml:…"},
		"several yaml:":                {[]string{"--config", first, "--config", "yaml:exporters::jsonl::path: x", "--config", "yaml:a: b"}, path{"exporters", "jsonl", "path"}, "yaml:… (--config no. 2)"},
		"env:":                         {[]string{"--config", "env:TAILRACE_TEST_CONFIG"}, path{"exporters", "jsonl", "path"}, "env:TAILRACE_TEST_CONFIG"},
		"--set":                        {[]string{"--set", "exporters.jsonl.path=5", "--config", first}, path{"exporters", "jsonl", "path"}, "--set exporters.jsonl.path"},
		"a source that cannot be read": {[]string{"--config", first, "--config", "https://host/x"}, path{"exporters", "jsonl", "path"}, first + ":6"},
		"no file":                      {[]string{"--config", filepath.Join(dir, "none.yaml")}, path{"exporters", "jsonl", "path"}, ""},
		"no sources":                   {nil, path{"exporters", "jsonl", "path"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSources(c.args)
			i, line, ok := s.find(c.at)
			require.Equal(t, c.want != "", ok)
			if ok {
				assert.Equal(t, c.want, s.place(i, line))
			}
		})
	}
}

// FuzzFind: whatever a file holds, a place is only looked up in it.
func FuzzFind(f *testing.F) {
	f.Add(base)
	f.Add("a: &a\n  <<: *a\n")
	f.Add("exporters: &a {jsonl: *a}")
	f.Add("exporters: {jsonl: [[], {}]}\n---\nx")
	f.Fuzz(func(t *testing.T, text string) {
		doc := parse([]byte(text))
		for _, p := range []path{{"exporters", "jsonl", "path"}, {"exporters", "jsonl", 0, 1, "x"}, {"a", "b"}} {
			if node := lookUp(doc, p); node != nil && node.Kind != yaml.ScalarNode && node.Line < 1 {
				t.Fatalf("line %d", node.Line)
			}
		}
	})
}
