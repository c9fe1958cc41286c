// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestCommittedPagesAreCurrent(t *testing.T) {
	all, err := pages(root)
	require.NoError(t, err)
	for name, text := range all {
		committed, err := os.ReadFile(filepath.Join(root, folder, name))
		require.NoError(t, err)
		assert.Equal(t, text, string(committed), "%s: run `make generate` and commit", name)
	}
}

// example has what is found in Config structs.
type example struct {
	// FirstKey and Second share this. It is not Third.
	FirstKey string        `mapstructure:"first_key"`
	Second   time.Duration `mapstructure:"second"`
	// Third is a list of sections.
	Third []entry `mapstructure:"third"`
	Plain int     `mapstructure:"plain"`
}

// entry has the keys of example, and FirstKey means the same.
type entry struct {
	FirstKey *string `mapstructure:"first_key"`
	// Own has pipes: a|b.
	Own bool `mapstructure:"own"`
}

func TestKeys(t *testing.T) {
	docs := newComments(root)
	docs.tests = true
	w := &walker{docs: docs}
	w.walk("", reflect.ValueOf(example{FirstKey: "a", Second: time.Hour}))
	assert.Equal(t, [][]string{
		{"`first_key`", "text", "`a`", "`first_key` and `second` share this. It is not `third`"},
		{"`second`", "duration", "`1h`", "`first_key` and `second` share this. It is not `third`"},
		{"`third`", "list of sections", "", "A list of sections"},
		{"`third[]::first_key`", "text", "", "`first_key` and Second share this. It is not Third"},
		{"`third[]::own`", "true or false", "", "`own` has pipes: a|b"},
		{"`plain`", "number", "`0`", ""},
	}, w.rows)
	require.Len(t, w.errs, 1)
	assert.EqualError(t, w.errs[0], "plain: the field Plain has no comment, which would be its meaning")
	assert.Equal(t, "| a |\n|---|\n| x\\|y |\n\n", table([]string{"a"}, [][]string{{"x|y"}}))
}
