// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPipeUnderBackPressureIsReadToItsEndAfterTheDeadline(t *testing.T) {
	// The group is dead, the queue is full: what the pipe still holds must not be lost to a read deadline.
	out := newOutlet(1)
	q := out.newQueue(&Source{Server: "a"})
	sink := &recorder{gate: make(chan struct{})}
	attach(t, out, sink)
	pipe, w, err := os.Pipe()
	require.NoError(t, err)
	r := newReader(pipe, Stdout, 1, testMaxLine, out, q, &streamCounters{})
	go r.run()
	for i := range 3000 {
		_, err := fmt.Fprintf(w, "line %d of a pipe that holds 64 KiB\n", i)
		require.NoError(t, err)
		if i == 1499 {
			r.release()
			time.AfterFunc(2*quietTime, func() { close(sink.gate) })
		}
	}
	require.NoError(t, w.Close())
	<-r.done
	require.NoError(t, out.drain(t.Context()))
	assert.Len(t, sink.of(q.source), 3000)
	assert.False(t, r.abandoned.Load())
}
