// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailv1

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/livetail"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParseSubscribe(t *testing.T) {
	req, err := Parse([]byte(`{"type":"subscribe","id":"a","payload":{"channel":"server:web-1","filter":{"text":"x"},"max_rate":7,
		"backfill":{"records":5,"since":"-15m"},"resume":{"epoch":"e","seq":9}}}`), now)
	require.NoError(t, err)
	assert.Equal(t, `"a"`, string(req.ID))
	s := req.Subscribe
	assert.Equal(t, livetail.Channel{Kind: livetail.ChannelServer, ID: "web-1"}, s.Channel)
	assert.Equal(t, `{"text":"x"}`, s.Filter.Key())
	assert.Equal(t, 7, s.MaxRate)
	assert.Equal(t, 5, s.Backfill)
	assert.Equal(t, now.Add(-15*time.Minute), s.Since)
	assert.Equal(t, &livetail.Position{Epoch: "e", Seq: 9}, s.Resume)
}

func TestQueries(t *testing.T) {
	ch := func(name string) livetail.Channel {
		c, err := livetail.ParseChannel(name)
		require.NoError(t, err)
		return c
	}
	assert.Equal(t, []string{"/api/v1/logs?end=2026-03-01T12%3A00%3A01Z&server=web+1%26x&start=2026-03-01T11%3A58%3A00Z"},
		Queries(ch("server:web 1&x"), now.Add(-time.Minute), now), "nothing of an id gets out of its place")
	assert.Len(t, Queries(ch("project:shop"), time.Time{}, now), 3)
	assert.Equal(t, "/api/v1/traces/0102030405060708090a0b0c0d0e0f10", Queries(ch("trace:0102030405060708090a0b0c0d0e0f10"), time.Time{}, time.Time{})[0])
	assert.Equal(t, []string{"/api/v1/logs", "/api/v1/spans", "/api/v1/scores"}, Queries(ch("*"), time.Time{}, time.Time{}))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"subscribe","payload":{"channel":"*","filter":{"text":"x"},"backfill":{"records":1,"since":"-1h"},"max_rate":5},"id":1}`))
	f.Add([]byte(`{"type":"update","payload":{"sub":1,"filter":null}}`))
	f.Add([]byte(`{"type":"ack","payload":{"sub":4294967296,"seq":-1}}`))
	f.Add([]byte(`{"type":"auth","payload":{"token":"t"}}`))
	f.Add([]byte("{\"type\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := Parse(data, now)
		if err != nil {
			var re *RequestError
			if !errors.As(err, &re) {
				t.Fatal(err)
			}
			if !json.Valid(Error(re)) {
				t.Fatalf("%s", Error(re))
			}
			return
		}
		if !json.Valid(Subscribed(&req, livetail.Subscribed{Gap: &livetail.Gap{Reason: livetail.ReasonEvicted}})) {
			t.Fatalf("%q", data)
		}
	})
}
