// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const repository = "../../.."

// The Dockerfile is read as BuildKit reads it, without a complaint of its linter; what it copies is there; it ends without root. It is not
// built here: that needs a registry.
func TestDockerfile(t *testing.T) {
	file, err := os.Open(filepath.Join(repository, "Dockerfile"))
	require.NoError(t, err)
	defer file.Close()
	parsed, err := parser.Parse(file)
	require.NoError(t, err)
	assert.Empty(t, parsed.Warnings)
	var complaints []string
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		complaints = append(complaints, rule+": "+message)
	}}))
	require.NoError(t, err)
	assert.Empty(t, complaints)
	require.Len(t, stages, 3)

	names := map[string]bool{}
	var user string
	for _, stage := range stages {
		assert.NotContains(t, stage.BaseName, ":latest")
		assert.Contains(t, stage.BaseName, ":")
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.CopyCommand:
				if c.From != "" {
					assert.True(t, names[c.From], "no stage %s", c.From)
					continue
				}
				for _, source := range c.SourcePaths {
					_, err := os.Stat(filepath.Join(repository, source))
					assert.NoError(t, err)
				}
			case *instructions.UserCommand:
				user = c.User
			}
		}
		names[stage.Name] = true
	}
	uid, _, _ := strings.Cut(user, ":")
	assert.Equal(t, "65532", uid, "the chart says the same")
}
