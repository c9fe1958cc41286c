// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProjectFolder(t *testing.T) {
	for project, want := range map[string]string{
		"shop":          "shop",
		"acme.eu-west":  "acme.eu-west",
		"":              "%",
		"..":            "%2E%2E",
		".":             "%2E",
		"../../etc":     "%2E%2E%2F.%2E%2Fetc",
		"a..b":          "a.%2Eb",
		"a/b\x00c":      "a%2Fb%00c",
		"caf\u00e9 50%": "caf%C3%A9%2050%25",
		"NUL":           "%4EUL",
		"processed":     "%70rocessed",
	} {
		assert.Equal(t, want, ProjectFolder(project), "%q", project)
		assert.Equal(t, project, ProjectOfFolder(want), "%q", want)
	}
}

func TestProjectFolderCutsLongNames(t *testing.T) {
	a, b := strings.Repeat("x", 4000), strings.Repeat("x", 3999)+"y"
	assert.LessOrEqual(t, len(ProjectFolder(a)), maxProjectBytes)
	assert.NotEqual(t, ProjectFolder(a), ProjectFolder(b))
	assert.Contains(t, ProjectFolder(a), "~")
}

func FuzzProjectFolder(f *testing.F) {
	for _, s := range []string{"", ".", "..", "../../etc", "a/b", "\x00", "con.txt", strings.Repeat("é", 300), "failed"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, project string) {
		name := ProjectFolder(project)
		require.NotEmpty(t, name)
		require.LessOrEqual(t, len(name), maxProjectBytes)
		require.Equal(t, "base", filepath.Dir(filepath.Join("base", name)), "left its folder: %q", name)
		if !strings.Contains(name, "~") {
			require.Equal(t, project, ProjectOfFolder(name))
		}
	})
}

func TestIDSortsByTimeAndSurvivesStates(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.FixedZone("x", 3600))
	id := NewID(at)
	assert.True(t, strings.HasPrefix(id, "20260304T040607.089Z_"), id)
	assert.Less(t, id, NewID(at.Add(time.Millisecond)))

	for name, open := range map[string]bool{id + SuffixOpen: true, id + SuffixPending: false} {
		got, ok := Parse(filepath.Join("some", "dir", name))
		require.True(t, ok)
		assert.Equal(t, Name{ID: id, Open: open}, got)
	}
	for _, name := range []string{"", ".jsonl", ".jsonl.open", "notes.txt", "a.jsonl.tmp"} {
		_, ok := Parse(name)
		assert.False(t, ok, name)
	}
}
