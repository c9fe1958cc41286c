// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
)

// tokens runs `tailctl token` with a file.
func tokens(file string, args ...string) (stdout, stderr string, err error) {
	command := newRootCommand()
	var out, errs bytes.Buffer
	command.SetOut(&out)
	command.SetErr(&errs)
	command.SetArgs(append([]string{"token", "--file", file}, args...))
	err = command.Execute()
	return out.String(), errs.String(), err
}

func TestTokenCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	out, errs, err := tokens(file, "create", "ci", "--project", "shop-*", "--project", "support")
	require.NoError(t, err)
	secret := strings.TrimSuffix(out, "\n")
	require.True(t, access.IsToken(secret), "standard output holds the token alone: %q", out)
	require.Contains(t, errs, "ci may read in shop-*, support until ")
	require.NotContains(t, errs, secret)

	loaded, err := access.NewTokenFile(file).Load()
	require.NoError(t, err)
	token, err := loaded.Lookup(secret, time.Now())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(90*24*time.Hour), token.Expires, time.Minute)

	_, _, err = tokens(file, "create", "forever", "--project", "*", "--role", "operator", "--expires", "never", "--json")
	require.NoError(t, err)
	out, _, err = tokens(file, "list")
	require.NoError(t, err)
	require.NotContains(t, out, secret)
	require.NotContains(t, out, token.Hash)
	lines := strings.Split(out, "\n")
	require.Regexp(t, `^NAME +ID +ROLE +PROJECTS +AGE +EXPIRES$`, lines[0])
	require.Regexp(t, `^ci +`+token.ID+` +viewer +shop-\*, support +\S+ +\d{4}-`, lines[1])
	require.Regexp(t, `^forever +[0-9a-f]{16} +operator +\* +\S+ +never$`, lines[2])

	out, _, err = tokens(file, "list", "--json")
	require.NoError(t, err)
	var shown []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &shown))
	require.Len(t, shown, 2)
	require.NotContains(t, shown[0], "hash")
	require.Equal(t, false, shown[0]["expired"])

	_, errs, err = tokens(file, "revoke", "ci")
	require.NoError(t, err)
	require.Contains(t, errs, "revoked ci ("+token.ID+")")
	loaded, err = access.NewTokenFile(file).Load()
	require.NoError(t, err)
	_, err = loaded.Lookup(secret, time.Now())
	require.ErrorIs(t, err, access.ErrUnauthenticated)
}

func TestTokenMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	for want, args := range map[string][]string{
		"which projects?":               {"create", "ci"},
		"needs one name":                {"create"},
		"--expires must be a duration":  {"create", "ci", "--project", "*", "--expires", "soon"},
		"not \"-1h\"":                   {"create", "ci", "--project", "*", "--expires", "-1h"},
		"needs the name or id":          {"revoke"},
		`has no command "remove"`:       {"remove"},
		"unknown flag: --projects":      {"create", "ci", "--projects", "*"},
		`must be viewer or operator`:    {"create", "ci", "--project", "*", "--role", "admin"},
		`no token with the id or name`:  {"revoke", "ci"},
		"expires: 2001-01-01T00:00:00Z": {"create", "ci", "--project", "*", "--expires", "2001-01-01T00:00:00Z"},
	} {
		_, _, err := tokens(file, args...)
		require.ErrorContains(t, err, want)
		usage := !strings.Contains(want, "viewer or") && !strings.Contains(want, "no token") && !strings.Contains(want, "2001")
		assert.Equal(t, map[bool]int{true: exitUsage, false: exitFailed}[usage], exitCode(err), want)
	}
	_, err := os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTokenFileByEnvironment(t *testing.T) {
	t.Setenv(envTokens, "")
	t.Setenv("TAILRACE_DATA", "/srv/tailrace")
	assert.Equal(t, "/srv/tailrace/tokens.json", (&tokenFlags{}).open().Path())
	t.Setenv(envTokens, "/etc/tokens.json")
	assert.Equal(t, "/etc/tokens.json", (&tokenFlags{}).open().Path())
	assert.Equal(t, "x", (&tokenFlags{file: "x"}).open().Path())
}
