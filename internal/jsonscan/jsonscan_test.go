// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonscan

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree builds what encoding/json builds, with numbers as text.
func tree(s *Scanner) any {
	switch s.Kind() {
	case Object:
		m := map[string]any{}
		_ = s.Object(func(k string) error { m[k] = tree(s); return nil })
		return m
	case Array:
		a := []any{}
		_ = s.Array(func() error { a = append(a, tree(s)); return nil })
		return a
	case String:
		v, _ := s.Str()
		return v
	case Bool:
		v, _ := s.Bool()
		return v
	case Null:
		s.Null()
		return nil
	default:
		return json.Number(s.Raw())
	}
}

// FuzzSameAsEncodingJSON holds the scanner to the reference: the same tree, or both refuse.
func FuzzSameAsEncodingJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`, ` {"a" : [ 1 , -2.5e3, true,false , null, "x" ] , "b":{"c":{}}} `, `"\u00e9\ud83d\ude00\ud83d \ude00\n\/\\""`,
		"\"\xff\xfe ü\"", `{"a":1,"a":2}`, `[[],[[]],{"":[]}]`, `{"a"`, `1 2`, `"\ud800\u0041"`, `"\ud800\ud800"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := New(doc)
		var want any
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber()
		if !json.Valid(doc) {
			require.ErrorIs(t, err, ErrInvalid)
			return
		}
		require.NoError(t, err)
		require.NoError(t, dec.Decode(&want))
		got := tree(s)
		assert.Equal(t, want, got)
		s.space()
		assert.Equal(t, len(doc), s.i, "everything is consumed")

		s, err = New(doc)
		require.NoError(t, err)
		s.Skip()
		s.space()
		assert.Equal(t, len(doc), s.i, "Skip consumes as much")
	})
}

func TestNumbers(t *testing.T) {
	at := func(doc string) *Scanner {
		s, err := New([]byte(doc))
		require.NoError(t, err)
		return s
	}
	u, err := at(`18446744073709551615`).Uint(64)
	require.NoError(t, err)
	assert.Equal(t, uint64(18446744073709551615), u)
	i, err := at(`"-9223372036854775808"`).Int(64)
	require.NoError(t, err)
	assert.Equal(t, int64(-9223372036854775808), i)
	for _, text := range []string{"NaN", "Infinity", "-Infinity", "1.5"} {
		v, err := at(strconv.Quote(text)).Float()
		require.NoError(t, err)
		want, _ := strconv.ParseFloat(text, 64)
		if text == "NaN" {
			assert.NotEqual(t, v, v)
			continue
		}
		assert.InDelta(t, want, v, 0)
	}
	for doc, f := range map[string]func(*Scanner) error{
		`256`:     func(s *Scanner) error { _, err := s.Uint(8); return err },
		`-1`:      func(s *Scanner) error { _, err := s.Uint(64); return err },
		`1.5`:     func(s *Scanner) error { _, err := s.Int(64); return err },
		`"x"`:     func(s *Scanner) error { _, err := s.Float(); return err },
		`{}`:      func(s *Scanner) error { _, err := s.Float(); return err },
		`null`:    func(s *Scanner) error { _, err := s.Str(); return err },
		`true`:    func(s *Scanner) error { return s.Array(nil) },
		`"1"`:     func(s *Scanner) error { return s.Object(nil) },
		`[0]`:     func(s *Scanner) error { _, err := s.Bool(); return err },
		`{"k":0}`: func(s *Scanner) error { return s.Object(func(string) error { _, err := s.Str(); return err }) },
	} {
		assert.Error(t, f(at(doc)), doc)
	}
}
