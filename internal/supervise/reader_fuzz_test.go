// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzReader: the entries of a stream depend on its bytes only, and stay what they are when memory is used again.
func FuzzReader(f *testing.F) {
	for _, stream := range []string{"a\nb", "bad \xff\xfe\n\xc3", strings.Repeat("🦊 fox\r\n", 900), strings.Repeat("x", 9000) + "\n\ny", strings.Repeat("\n", 2000)} {
		for seed := range uint64(3) {
			f.Add([]byte(stream), uint16(300), seed)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16, seed uint64) {
		limit = max(limit, minLineBytes)
		random := rand.New(rand.NewPCG(seed, 0))
		out := newOutlet(1 << 30)
		q := out.newQueue(&Source{})
		stats := &streamCounters{}
		r := newReader(nil, Stdout, 1, int(limit), out, q, stats)
		largest := 1 + random.IntN(len(stream)+2)
		chunk := make([]byte, largest)
		for rest := stream; len(rest) > 0; {
			n := copy(chunk[:1+random.IntN(largest)], rest)
			r.take(chunk[:n])
			rest = rest[n:]
		}
		clear(chunk)
		r.framer.close()
		r.flush()
		var got []piece
		lines, cut := int64(0), int64(0)
		for _, c := range q.take() {
			for _, e := range c.entries {
				text := e.Line
				require.True(t, utf8.ValidString(text))
				if e.Repaired {
					require.Equal(t, strings.ToValidUTF8(e.Raw, "\uFFFD"), text)
					text = e.Raw
				}
				got = append(got, piece{text: text, part: e.Part, last: e.Last})
				if e.Part == 0 || e.Last {
					lines++
				}
				if e.Last {
					cut++
				}
			}
		}
		require.Equal(t, split(string(stream), int(limit)), got)
		require.Equal(t, StreamStats{Bytes: int64(len(stream)), Lines: lines, Cut: cut, Repaired: stats.repaired.Load()}, stats.stats())
	})
}
