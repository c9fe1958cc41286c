// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail"
)

func TestTokensAreSafeAndTellProjectsApart(t *testing.T) {
	names := []string{"", "a", "A", "%", "%%", "%25", "a.b", "a_b", "a b", "a%20b", "*", ">", "größe", "日本", "\x00", "\xff", "a\n"}
	for i := range 300 {
		names = append(names, strings.Repeat("x", 100+i), strings.Repeat("ü", 100+i))
	}
	seen := map[string]string{}
	for _, name := range names {
		tok := token(name)
		require.NotEmpty(t, tok)
		assert.NotContains(t, seen, tok, "%q and %q", name, seen[tok])
		seen[tok] = name
		assert.False(t, strings.ContainsAny(tok, ". *>\t\r\n\x00"), "%q becomes %q", name, tok)
		assert.LessOrEqual(t, len(tok), maxToken)
	}
	assert.Equal(t, "records.a%2Eb.log", subjectOf(livetail.Topic{Project: "a.b", Signal: livetail.SignalLog}))
	assert.Equal(t, "records.*.span", subjectOf(livetail.Topic{All: true, Signal: livetail.SignalSpan}))
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for _, body := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("long and the same "), 10_000)} {
		m := message{
			origin: ulid.Make(), topic: livetail.Topic{Project: "größe", Signal: livetail.SignalMetric},
			before: livetail.Severities{1, 2, 300, 1 << 40}, n: 7, body: body,
		}
		data, _ := appendMessage(nil, &m, nil)
		if len(body) > compressAbove {
			assert.Less(t, len(data), len(body)/10)
		}
		got, err := readMessage(data)
		require.NoError(t, err)
		assert.Equal(t, m.body, append([]byte(nil), got.body...))
		m.body, got.body = nil, nil
		assert.Equal(t, m, got)
	}
	_, err := readMessage([]byte{messageVersion + 1, 0})
	assert.ErrorIs(t, err, errVersion)
}

// Nothing that comes from the bus ends the collector.
func TestAnyBytesAreRefusedOrRead(*testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	m := message{topic: livetail.Topic{Project: "shop", Signal: livetail.SignalLog}, n: 3, body: bytes.Repeat([]byte{1, 'a', 0, 0}, 400)}
	good, _ := appendMessage(nil, &m, nil)
	for range 50_000 {
		data := append([]byte(nil), good...)
		for range 1 + rnd.IntN(4) {
			data[rnd.IntN(len(data))] = byte(rnd.Uint32())
		}
		data = data[:rnd.IntN(len(data)+1)]
		if got, err := readMessage(data); err == nil {
			_ = got.each(0, func(livetail.Source, livetail.Record) {})
		}
	}
}
