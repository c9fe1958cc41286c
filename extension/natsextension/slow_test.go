// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/extension/natsextension/internal/natstest"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
)

// slow is a live tail that takes no records until it is let.
type slow struct {
	*natsExtension
	gate chan struct{}
}

func (s slow) Join(r cluster.Receiver) (cluster.Link, error) {
	return s.natsExtension.Join(slowReceiver{r, s.gate})
}

type slowReceiver struct {
	cluster.Receiver
	gate chan struct{}
}

func (r slowReceiver) Message(subject string, data []byte) {
	if strings.HasPrefix(subject, "records.") && strings.HasSuffix(subject, ".log") {
		<-r.gate
	}
	r.Receiver.Message(subject, data)
}

func TestWhatASlowCollectorLosesIsCounted(t *testing.T) {
	server := natstest.Start(t)
	gate := make(chan struct{})
	one := start(t, server.URL(), nil)
	two := startWith(t, server.URL(), nil, func(n *natsExtension) cluster.Bus {
		n.queue = 8
		return slow{n, gate}
	})
	await(t, one, two)
	v := two.view("project:shop", 0)
	const n = 100
	for i := range n { // messages of their own
		one.print("shop", i, 1)
		require.Eventually(t, func() bool { return one.cluster.Stats().Published == uint64(i+1) }, waitFor, tick)
	}
	close(gate)
	one.print("shop", n, 1)
	v.await(n + 1)
	assert.Positive(t, v.dropped)
	assert.Zero(t, v.unknown)
	assert.Equal(t, v.dropped, two.cluster.Stats().Lost)
}
