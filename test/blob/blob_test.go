// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build blob

package blob

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

// TestEveryRecordOnceOverS3 sends while the edge and the centre are killed by turns and the S3 server goes away for a while. What the
// edge acknowledged is in the centre's ClickHouse once in the end; what it did not, at most once.
func TestEveryRecordOnceOverS3(t *testing.T) {
	w := newWorld(t)
	otlp := freeport.For(t)
	edge, centre := w.edge(otlp), w.centre()
	edge.start()
	centre.start()

	var (
		mu    sync.Mutex
		acked = map[string]bool{}
		wg    sync.WaitGroup
		quit  = make(chan struct{})
	)
	for s := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				case <-time.After(2 * time.Millisecond): // a pace, not a wait
				}
				body := fmt.Sprintf("%d-%d", s, i)
				if send(otlp, fmt.Sprintf("shop%d", i%3), body) {
					mu.Lock()
					acked[body] = true
					mu.Unlock()
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	more := func() { // goes on being acknowledged
		t.Helper()
		before := count()
		await(t, "acknowledging", func() error {
			if count() < before+200 {
				return errors.New("too few")
			}
			return nil
		})
	}
	stored := func() int {
		lines, err := w.query("SELECT count() FROM tailrace.otel_logs")
		if err != nil || len(lines) != 1 {
			return 0
		}
		n, _ := strconv.Atoi(lines[0])
		return n
	}
	growing := func() { // goes on being loaded
		t.Helper()
		var before int
		await(t, "answered by ClickHouse", func() error {
			if before = stored(); before == 0 {
				return errors.New("nothing is stored")
			}
			return nil
		})
		await(t, "loading", func() error {
			if n := stored(); n <= before {
				return fmt.Errorf("%d records are stored", n)
			}
			return nil
		})
	}

	more()
	growing()
	for range 3 {
		edge.kill()
		edge.start()
		more()
		centre.kill()
		more() // the edge goes on without the centre
		centre.start()
		growing()
	}
	w.s3.kill()
	more() // and without the bucket
	await(t, "told by both that the bucket is away", func() error {
		for _, p := range []*process{edge, centre} {
			if !p.logged("Segments can't be carried through object storage") {
				return errors.New(p.log)
			}
		}
		return nil
	})
	edge.kill() // with everything still in its folder
	edge.start()
	centre.kill()
	more()
	w.startS3()
	centre.start()
	growing()
	close(quit)
	wg.Wait()
	edge.stop() // uploads what it completes

	t.Logf("%d records were acknowledged", len(acked))
	await(t, "every acknowledged record", func() error {
		bodies, err := w.query("SELECT Body FROM tailrace.otel_logs")
		if err != nil {
			return err
		}
		seen := make(map[string]int, len(bodies))
		found := 0
		for _, b := range bodies {
			seen[b]++
			require.Equal(t, 1, seen[b], "record %s is there more than once", b)
			if acked[b] {
				found++
			}
		}
		if found != len(acked) {
			return fmt.Errorf("%d of %d acknowledged records are stored", found, len(acked))
		}
		return nil
	})
	await(t, "everything put away", func() error {
		for _, dir := range []string{filepath.Join(w.bucket, "tailrace", "logs"), filepath.Join(w.dir, "edge", "jsonl", "logs"), filepath.Join(w.dir, "centre", "jsonl", "logs")} {
			if left, _ := filepath.Glob(filepath.Join(dir, "*", "*.jsonl*")); len(left) > 0 {
				return fmt.Errorf("%d files are left, such as %s", len(left), left[0])
			}
		}
		return nil
	})
	segments, err := filepath.Glob(filepath.Join(w.bucket, "tailrace", "processed", "logs", "*", "*.jsonl"))
	require.NoError(t, err)
	claims, err := os.ReadDir(filepath.Join(w.bucket, "tailrace", "claims", "logs"))
	require.NoError(t, err)
	assert.NotEmpty(t, segments)
	assert.NotEmpty(t, claims)
	t.Logf("%d segments went through the bucket", len(segments))
	centre.stop()
}

// TestWrongCredentials: the error names bucket and way out, senders do not notice.
func TestWrongCredentials(t *testing.T) {
	w := newWorld(t)
	otlp := freeport.For(t)
	edge := w.edge(otlp)
	edge.env = append(edge.env, "AWS_SECRET_ACCESS_KEY=wrong")
	edge.start()
	await(t, "acknowledging", func() error {
		if !send(otlp, "shop", "one") {
			return errors.New("refused")
		}
		return nil
	})
	await(t, "told", func() error {
		if !edge.logged("s3://telemetry/tailrace/logs/shop/") {
			return errors.New("no error with bucket and key")
		}
		return nil
	})
	left, err := filepath.Glob(filepath.Join(w.dir, "edge", "jsonl", "logs", "shop", "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, left, "the segment is not in its folder any more")
}
