// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package components

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const module = "github.com/tailrace/tailrace"

// manifest is the part of builder-config.yaml that lists components.
type manifest map[string]yaml.Node

type entry struct {
	GoMod  string `yaml:"gomod"`
	Import string `yaml:"import"`
}

func TestManifestAndSlicesListTheSameComponents(t *testing.T) {
	raw, err := os.ReadFile("../builder-config.yaml")
	require.NoError(t, err)
	var m manifest
	require.NoError(t, yaml.Unmarshal(raw, &m))

	sizes := map[string]int{
		"extensions": len(Extensions()),
		"receivers":  len(Receivers()),
		"processors": len(Processors()),
		"exporters":  len(Exporters()),
	}
	var inManifest []string
	for kind, size := range sizes {
		var entries []entry
		node := m[kind]
		require.NoError(t, node.Decode(&entries), kind)
		ours := 0
		for _, e := range entries {
			if strings.HasPrefix(e.GoMod, module+" ") {
				ours++
				inManifest = append(inManifest, e.Import)
			}
		}
		assert.Equal(t, size, ours, "%s: builder-config.yaml and components.go differ", kind)
	}

	file, err := parser.ParseFile(token.NewFileSet(), "components.go", nil, parser.ImportsOnly)
	require.NoError(t, err)
	var inSlices []string
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if strings.HasPrefix(path, module+"/") {
			inSlices = append(inSlices, path)
		}
	}
	assert.ElementsMatch(t, inManifest, inSlices, "builder-config.yaml and components.go differ")
}

// The converters have no slice here: they import this package. Their folders stand for it.
func TestManifestListsTheConverters(t *testing.T) {
	raw, err := os.ReadFile("../builder-config.yaml")
	require.NoError(t, err)
	var m manifest
	require.NoError(t, yaml.Unmarshal(raw, &m))
	var entries []entry
	node := m["converters"]
	require.NoError(t, node.Decode(&entries))
	var inManifest []string
	for _, e := range entries {
		if strings.HasPrefix(e.GoMod, module+" ") {
			inManifest = append(inManifest, e.Import)
		}
	}
	folders, err := os.ReadDir("../converter")
	require.NoError(t, err)
	var inFolders []string
	for _, f := range folders {
		inFolders = append(inFolders, module+"/converter/"+f.Name())
	}
	assert.ElementsMatch(t, inManifest, inFolders, "builder-config.yaml and converter/ differ")
}

func TestTypesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	add := func(kind, name string) {
		assert.False(t, seen[kind+name], "%s %s twice", kind, name)
		seen[kind+name] = true
	}
	for _, f := range Extensions() {
		add("extension ", f.Type().String())
	}
	for _, f := range Receivers() {
		add("receiver ", f.Type().String())
	}
	for _, f := range Processors() {
		add("processor ", f.Type().String())
	}
	for _, f := range Exporters() {
		add("exporter ", f.Type().String())
	}
}
