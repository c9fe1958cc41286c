// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/ingest/linecodec"
	"github.com/tailrace/tailrace/internal/segment"
)

// counted counts the bytes of lines that were decoded.
type counted struct {
	ingest.Batch
	bytes *atomic.Int64
}

func (c counted) Add(of ingest.Key, line []byte) (ingest.Added, error) {
	c.bytes.Add(int64(len(line)) + 1)
	return c.Batch.Add(of, line)
}

// While the store is away every source has two batches in memory, and all together no more than three large ones and what is worth an
// insert of each; when it is back, everything is loaded.
func TestBatchesOfAllSourcesAreBoundedTogether(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	const most = 16 << 10
	var read [3]atomic.Int64
	away, begun := make(chan struct{}), make(chan string, 100)
	o := options(dir, s)
	o.Limits.MaxBytes, o.Limits.MaxRecords = most, 1_000_000
	o.Sources = nil
	var want []string
	for i, typ := range []segment.Type{segment.Logs, segment.Scores, segment.Spans} {
		signal := fmt.Sprint("signal", i)
		text, uids := lines(signal+"-", 400) // about 60 kB
		want = append(want, uids...)
		put(t, dir, fmt.Sprintf("%s/shop/0000000000000001.jsonl", typ), text)
		o.Sources = append(o.Sources, ingest.Source{
			Signal: signal, Types: []segment.Type{typ},
			NewBatch: func() ingest.Batch { return counted{linecodec.NewLogs(), &read[i]} },
			Deliver: func(ctx context.Context, token string, u ingest.Unit) error {
				select {
				case begun <- signal:
				default:
				}
				<-away
				return s.deliver(ctx, token, u)
			},
		})
	}
	start(t, o)
	waiting := map[string]bool{}
	for len(waiting) < len(o.Sources) {
		select {
		case signal := <-begun:
			waiting[signal] = true
		case <-time.After(30 * time.Second):
			require.Fail(t, "not every source sends", "%v", waiting)
		}
	}
	sum := func() (n int64) {
		for i := range read {
			n += read[i].Load()
		}
		return n
	}
	last := int64(-1)
	eventually(t, func() bool { // nothing is read any more
		n := sum()
		same := n == last
		last = n
		time.Sleep(50 * time.Millisecond)
		return same
	}, "the sources go on reading")
	assert.LessOrEqual(t, sum(), int64(3*most+len(o.Sources)*(most/4+1000)))
	assert.Greater(t, sum(), int64(2*most), "more than one source's")
	close(away)
	loaded(t, s, want...)
}
