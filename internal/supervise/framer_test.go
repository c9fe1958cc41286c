// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type piece struct {
	text string
	part int
	last bool
}

// split is the reference: it sees the whole stream at once, and is too simple to be wrong.
func split(stream string, limit int) []piece {
	var pieces []piece
	lines := strings.SplitAfter(stream, "\n")
	for _, line := range lines {
		if line == "" {
			continue // only after the last LF
		}
		if text, ok := strings.CutSuffix(line, "\n"); ok {
			line = strings.TrimSuffix(text, "\r")
		}
		if len(line) <= limit {
			pieces = append(pieces, piece{text: line})
			continue
		}
		part := 1
		for ; len(line) > limit; part++ {
			end := limit
			for back := 1; back < utf8.UTFMax; back++ {
				if tail := line[limit-back : limit]; utf8.RuneStart(tail[0]) {
					if !utf8.FullRuneInString(tail) {
						end = limit - back
					}
					break
				}
			}
			pieces = append(pieces, piece{text: line[:end], part: part})
			line = line[end:]
		}
		pieces = append(pieces, piece{text: line, part: part, last: true})
	}
	return pieces
}

// frameAll feeds stream in chunks whose sizes next gives.
func frameAll(stream []byte, limit int, next func() int) []piece {
	var pieces []piece
	f := framer{max: limit, emit: func(f frame) {
		pieces = append(pieces, piece{text: string(f.text), part: f.part, last: f.last})
	}}
	chunk := []byte{}
	for len(stream) > 0 {
		n := min(max(next(), 1), len(stream))
		chunk = append(chunk[:0], stream[:n]...)
		f.write(chunk)
		for i := range chunk {
			chunk[i] = '#' // write must not have kept it
		}
		stream = stream[n:]
	}
	f.close()
	return pieces
}

func TestFramer(t *testing.T) {
	for name, tc := range map[string]struct {
		stream string
		want   []piece
	}{
		"empty":                       {"", nil},
		"lines":                       {"a\nb\n", []piece{{text: "a"}, {text: "b"}}},
		"empty lines":                 {"\n\r\n", []piece{{}, {}}},
		"no final newline":            {"a\nb", []piece{{text: "a"}, {text: "b"}}},
		"CRLF":                        {"a\r\nb\r\r\n", []piece{{text: "a"}, {text: "b\r"}}},
		"CR within and at the end":    {"10%\r20%\r", []piece{{text: "10%\r20%\r"}}},
		"exactly the limit":           {"12345678\n12345678", []piece{{text: "12345678"}, {text: "12345678"}}},
		"exactly the limit, CRLF":     {"12345678\r\nx", []piece{{text: "12345678"}, {text: "x"}}},
		"one above":                   {"123456789\nx", []piece{{"12345678", 1, false}, {"9", 2, true}, {text: "x"}}},
		"CR where the part ends":      {"1234567\r8\n", []piece{{"1234567\r", 1, false}, {"8", 2, true}}},
		"cut before a character":      {"1234567äx\n", []piece{{"1234567", 1, false}, {"äx", 2, true}}},
		"cut before four bytes":       {"12345🦊\n", []piece{{"12345", 1, false}, {"🦊", 2, true}}},
		"character ends at the limit": {"1234🦊5\n", []piece{{"1234🦊", 1, false}, {"5", 2, true}}},
		"continuation bytes only":     {strings.Repeat("\x80", 9), []piece{{strings.Repeat("\x80", 8), 1, false}, {"\x80", 2, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, split(tc.stream, 8), "the reference")
			for size := 1; size <= len(tc.stream)+1; size++ {
				assert.Equal(t, tc.want, frameAll([]byte(tc.stream), 8, func() int { return size }), "chunks of %d", size)
			}
		})
	}
}

func TestFramerHoldsLittleBack(t *testing.T) {
	f := framer{max: 1000, emit: func(frame) {}}
	chunk := bytes.Repeat([]byte("x"), 10_000)
	for range 1000 {
		f.write(chunk)
		require.LessOrEqual(t, len(f.pending), f.max+1)
	}
	require.LessOrEqual(t, cap(f.pending), 32_000)
}

func FuzzFramer(f *testing.F) {
	for _, stream := range []string{"a\nb", "\r\n\r\n", "äöü🦊\n", "123456789012\r\n3", "\xff\xfe\n\xc3", strings.Repeat("🦊", 9)} {
		for seed := range uint64(3) {
			f.Add([]byte(stream), uint8(4), seed)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, limit uint8, seed uint64) {
		limit = max(limit, minLineBytes)
		random := rand.New(rand.NewPCG(seed, 0))
		largest := 1 + random.IntN(len(stream)+2)
		want := split(string(stream), int(limit))
		got := frameAll(stream, int(limit), func() int { return 1 + random.IntN(largest) })
		require.Equal(t, want, got)
		if utf8.Valid(stream) {
			for _, piece := range got {
				require.True(t, utf8.ValidString(piece.text), "a valid stream was cut within a character")
			}
		}
	})
}

func BenchmarkFramer(b *testing.B) {
	for _, length := range []int{20, 100, 1000, 100_000, 1 << 20} {
		b.Run(fmt.Sprintf("line=%d", length), func(b *testing.B) {
			stream := bytes.Repeat(append(bytes.Repeat([]byte("x"), length-1), '\n'), max(1, (4<<20)/length))
			frames := 0
			f := framer{max: 256 << 10, emit: func(frame) { frames++ }}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := stream; len(rest) > 0; {
					n := min(readBytes, len(rest))
					f.write(rest[:n])
					rest = rest[n:]
				}
			}
			if frames == 0 {
				b.Fatal("nothing was framed")
			}
		})
	}
}
