// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var link = regexp.MustCompile(`\]\(([^)\s#]+)`)

// Every page of docs/ is found by somebody who begins at its entrance, and no link on the way goes nowhere.
func TestEveryPageIsReachable(t *testing.T) {
	seen := map[string]bool{}
	var follow func(page string)
	follow = func(page string) {
		if seen[page] {
			return
		}
		seen[page] = true
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], ":") {
				continue
			}
			target := filepath.Join(filepath.Dir(page), match[1])
			_, err := os.Stat(target)
			if assert.NoErrorf(t, err, "%s links to %s", page, match[1]) && strings.HasPrefix(target, "../../docs/") && filepath.Ext(target) == ".md" {
				follow(target)
			}
		}
	}
	follow("../../docs/README.md")
	require.NoError(t, filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			assert.True(t, seen[path], "%s: nothing leads from docs/README.md to it", path)
		}
		return err
	}))
}
