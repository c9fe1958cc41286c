// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsageCountsTheWholeTree(t *testing.T) {
	server := testServer("web-1", "busy")
	options := testOptions(server)
	options.ReportInterval = 20 * time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	inner := pidOf(t, waitFor(t, sink, server.Source, "child "))
	require.Eventually(t, func() bool {
		e := lastEvent(sink.of(server.Source), Health)
		return e.Usage != nil && e.Usage.Processes == 2 && e.Usage.RSS > 64<<20 && e.Usage.Threads > 2 &&
			e.Usage.OpenFiles > 50 && e.Usage.CPU > 0 && e.CPUPercent > 0
	}, 20*time.Second, 5*time.Millisecond, "its child is in another group")
	stats := s.Servers()[0]
	assert.True(t, stats.Running)
	assert.Equal(t, HealthHealthy, stats.Health)
	assert.NotZero(t, stats.Uptime)
	assert.NotNil(t, stats.Usage)
	assert.NotZero(t, stats.CPU)
	require.NoError(t, s.Stop(t.Context()))
	requireGone(t, inner)
	after := s.Servers()[0]
	assert.GreaterOrEqual(t, after.CPU, stats.CPU, "CPU time never decreases")
	assert.False(t, after.Running)
	assert.Nil(t, after.Usage)
	assert.Equal(t, HealthStopping, after.Health)
}

func TestUsageOfAProcessThatIsGone(t *testing.T) {
	var s sampler
	_, _, ok := s.of(1 << 30)
	assert.False(t, ok)
	usage, at, ok := s.of(os.Getpid())
	assert.True(t, ok)
	assert.NotZero(t, usage.Processes)
	assert.False(t, at.IsZero())
}

func TestParseStat(t *testing.T) {
	p, ok := parseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 9 0 1000 5000000 256 18446744073709551615 1 1\n"))
	require.True(t, ok)
	assert.Equal(t, procStat{
		pid: 42, parent: 7, group: 42, cpu: 2 * time.Second, rss: 256 * int64(os.Getpagesize()), threads: 9,
	}, p)
	p, ok = parseStat([]byte("42 (x) Z 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 1 0 1000 0 0 18446744073709551615 1 1\n"))
	require.True(t, ok)
	assert.True(t, p.zombie)
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	require.NoError(f, err)
	f.Add(own)
	f.Add([]byte("1 (x) S"))
	f.Add([]byte(")("))
	f.Fuzz(func(_ *testing.T, stat []byte) { parseStat(stat) })
}

// One look at all processes of the machine: what a report costs, however many servers share it.
func BenchmarkLookAtProcesses(b *testing.B) {
	b.ReportAllocs()
	var s sampler
	for b.Loop() {
		s.look()
	}
	b.ReportMetric(float64(len(s.byPID)), "processes")
}
