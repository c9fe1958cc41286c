// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every key is the first cell of a row, alone or with others; those of scrapers and their metrics are described elsewhere.
func TestReadmeNamesEveryOption(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var cells strings.Builder
	for line := range strings.Lines(string(text)) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| `") {
			cells.WriteString(cell + "\n")
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[ServerConfig](), reflect.TypeFor[ListenConfig]()} {
		for f := range typ.Fields() {
			key := f.Tag.Get("mapstructure")
			if key == ",squash" {
				continue
			}
			if !f.IsExported() {
				continue
			}
			require.NotEmpty(t, key, f.Name)
			if f.Type == reflect.TypeFor[*ListenTCPConfig]() {
				key = "tcp::endpoint`, `tcp::token"
			}
			assert.Contains(t, cells.String(), "`"+key+"`", "of %s", typ)
		}
	}
}
