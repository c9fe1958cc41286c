// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsontext

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzAppendString holds both forms to encoding/json.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "seven77", "eight888", `"`, `\`, "\x00\x1f \x7f", "tab\tline\nreturn\r", "Zürich", "\U0001F600", "\xff", "a\xc3", "ok\xed\xa0\x80ok", "\ufffd",
		strings.Repeat("x", 100) + "\"", "1234567é", "<&>\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, whole := AppendString([]byte("before"), s)
		fromBytes, wholeBytes := AppendString([]byte("before"), []byte(s))
		require.Equal(t, got, fromBytes)
		require.Equal(t, whole, wholeBytes)
		require.Equal(t, utf8.ValidString(s), whole)
		require.Equal(t, "before", string(got[:6]))
		require.True(t, utf8.Valid(got))
		var back string
		require.NoError(t, json.Unmarshal(got[6:], &back))
		require.Equal(t, string([]rune(s)), back)
	})
}

// TestEveryByteAtEveryPlace finds what a search of eight bytes at once may get wrong.
func TestEveryByteAtEveryPlace(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			for _, filler := range []byte{'a', '!', '#', '[', ']', 0x7f, ' '} {
				s := []byte(strings.Repeat(string(filler), 20))
				s[at] = byte(c)
				want, err := json.Marshal(strings.ToValidUTF8(string(s), "\ufffd"))
				require.NoError(t, err)
				got, _ := AppendString(nil, s)
				var a, b string
				require.NoError(t, json.Unmarshal(want, &a))
				require.NoError(t, json.Unmarshal(got, &b))
				require.Equal(t, a, b, "byte %x at %d", c, at)
			}
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 1: "1", -1.5: "-1.5", 1e-7: "1e-07", 1e21: "1e+21", 1e20: "100000000000000000000", math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`} {
		assert.Equal(t, want, string(AppendFloat(nil, f)))
		back, err := strconv.ParseFloat(strings.Trim(want, `"`), 64)
		require.NoError(t, err)
		assert.Equal(t, f, back)
	}
	assert.Equal(t, `"NaN"`, string(AppendFloat(nil, math.NaN())))
	assert.Equal(t, "-0", string(AppendFloat(nil, math.Copysign(0, -1))))
}

func BenchmarkAppendString(b *testing.B) {
	for name, s := range map[string]string{
		"line":   "GET /v1/trips/4711 200 in 12.4 ms, 3 legs found",
		"prompt": strings.Repeat("You are an agent that books trips. Say \"done\" when the trip to Zürich is booked, and nothing else.\n", 10),
		"key":    "http.method",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			var to []byte
			for b.Loop() {
				to, _ = AppendString(to[:0], s)
			}
		})
	}
}
