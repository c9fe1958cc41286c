// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package bytesize

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"512MiB": 512 << 20, "1.5 GB": 1_500_000_000, "1073741824": 1 << 30, "3g": 3_000_000_000, "1TiB": 1 << 40, "0": 0, " 7B ": 7,
	} {
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(text)), text)
		assert.Equal(t, want, s, text)
	}
	for text, want := range map[string]string{
		"": "no size", "MiB": "no size", "-1": "no size", "1.": "no size", "1PiB": "no size", "99999999TiB": "too large",
	} {
		var s Size
		require.ErrorContains(t, s.UnmarshalText([]byte(text)), want, text)
		assert.Zero(t, s, text)
	}
}

func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for s, want := range map[Size]string{0: "0B", 1: "1B", 1023: "1023B", 1 << 10: "1KiB", 1536 << 10: "1536KiB", 512 << 20: "512MiB", 1 << 30: "1GiB", 3 << 40: "3TiB"} {
		assert.Equal(t, want, s.String())
	}
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"1.5GiB", "1", "9223372036854775807", "3 k"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if !strings.ContainsAny(text, "0123456789") {
			t.Fatalf("%q is %d", text, s)
		}
		// A float has 53 bits: what is above is not whole any more.
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || s < 1<<53 && again != s {
			t.Fatalf("%q is %s, and that is %s, %v", text, s, again, err)
		}
	})
}
