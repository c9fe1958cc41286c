// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

// TestExamplesOfTheDocuments runs the curl lines and the SQL of docs/queries.md.
func TestExamplesOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/queries.md")
	require.NoError(t, err)
	s := filled(t)
	server := httptest.NewServer(as(access.Local(), New(Options{Store: s, Pipeline: fakePipeline{}})))
	defer server.Close()
	blocks := regexp.MustCompile("(?s)```(sh|sql)\n(.*?)```").FindAllStringSubmatch(string(text), -1)

	commands, statements := 0, 0
	dir := t.TempDir()
	for _, block := range blocks {
		if block[1] == "sql" {
			statements++
			n := 0
			rows, err := s.Conn().Query(t.Context(), block[2])
			require.NoError(t, err, block[2])
			for rows.Next() {
				n++
			}
			require.NoError(t, rows.Err(), block[2])
			assert.Positive(t, n, "nothing comes of\n%s", block[2])
			continue
		}
		for line := range strings.Lines(block[2]) {
			line = strings.TrimSpace(line)
			require.True(t, strings.HasPrefix(line, "curl "), line)
			commands++
			cmd := exec.Command("bash", "-c", strings.Replace(strings.Replace(line, "localhost:4400", strings.TrimPrefix(server.URL, "http://"), 1), "curl ", "curl --fail-with-body ", 1))
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s", line, out)
			if _, file, ok := strings.Cut(line, " -o "); ok {
				lines, err := os.ReadFile(filepath.Join(dir, file))
				require.NoError(t, err)
				assert.Greater(t, strings.Count(string(lines), "\n"), 100, line)
				continue
			}
			var answer struct{ Data json.RawMessage }
			require.NoError(t, json.Unmarshal(out, &answer), "%s\n%s", line, out)
			assert.NotContains(t, []string{"", "[]", "{}", "null"}, string(answer.Data), line)
			assert.NotRegexp(t, `^\[\{"group":\{[^}]*\},"points":\[(\{"time":"[^"]*","value":null\},?)*\]\}\]$`, string(answer.Data), "a chart of nothing: %s", line)
		}
	}
	assert.Greater(t, commands, 15)
	assert.Greater(t, statements, 5)
}

// TestRoutesOfTheDocuments holds the table of docs/protocol/rest.md to the routes.
func TestRoutesOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol/rest.md")
	require.NoError(t, err)
	for _, r := range routes {
		assert.Contains(t, string(text), "`"+r.path+"`")
	}
	for _, typ := range regexp.MustCompile(`Type: "([a-z-]+)"`).FindAllStringSubmatch(source(t), -1) {
		assert.Contains(t, string(text), "`"+typ[1]+"`", "a type of problem")
	}
}

// source is the code of the package, without tests.
func source(t *testing.T) string {
	var all strings.Builder
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			text, err := os.ReadFile(f)
			require.NoError(t, err)
			all.Write(text)
		}
	}
	return all.String()
}
