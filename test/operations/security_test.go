// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each claim of docs/security.md names the test behind it; a test that was renamed or deleted leaves a claim without one.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "_build" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range declared.FindAllStringSubmatch(string(read(t, path)), -1) {
				exists[m[1]] = true
			}
		}
		return nil
	}))
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(read(t, "../../docs/security.md")), -1)
	require.Greater(t, len(named), 40)
	for _, m := range named {
		assert.True(t, exists[m[1]], "there is no %s", m[1])
	}
}
