// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every key is in the first cell of a row: with its path in the table of options, alone in those of builds and health checks.
func TestReadmeNamesEveryOption(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var cells strings.Builder
	for line := range strings.Lines(string(text)) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| `") {
			cells.WriteString(cell + "\n")
		}
	}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for f := range typ.Fields() {
			key := f.Tag.Get("mapstructure")
			if key == "" {
				require.False(t, f.IsExported(), "%s of %s has no key", f.Name, typ)
				continue
			}
			if f.Type.Kind() == reflect.Struct && strings.HasPrefix(f.Type.PkgPath(), "github.com/tailrace") {
				walk(prefix+key+"::", f.Type)
				continue
			}
			if key == "servers" {
				continue // the rows of servers[]
			}
			assert.Contains(t, cells.String(), "`"+prefix+key+"`", "of %s", typ)
		}
	}
	walk("", reflect.TypeFor[Config]())
	walk("servers[].", reflect.TypeFor[ServerConfig]())
	for _, typ := range []reflect.Type{reflect.TypeFor[BuildConfig](), reflect.TypeFor[HealthConfig]()} {
		for f := range typ.Fields() {
			key := f.Tag.Get("mapstructure")
			if key == "" {
				continue
			}
			named := strings.Contains(cells.String(), "`"+key+"`") || strings.Contains(cells.String(), "`"+key+": {")
			assert.True(t, named, "%s of %s", key, typ)
		}
	}
}
