// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/extension/natsextension/internal/metadata"
	"github.com/tailrace/tailrace/extension/natsextension/internal/natstest"
	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/cluster"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
)

const (
	waitFor = 30 * time.Second
	tick    = 2 * time.Millisecond
)

// collector is a hub whose records go through NATS.
type collector struct {
	tb      testing.TB
	hub     *livetail.Hub
	cluster *cluster.Cluster
	ext     component.Component
	closed  bool
	others  []*collector // that it knows
}

func start(tb testing.TB, url string, change func(*Config)) *collector {
	tb.Helper()
	return startWith(tb, url, change, func(n *natsExtension) cluster.Bus { return n })
}

// startWith lets a test stand between the extension and the live tail.
func startWith(tb testing.TB, url string, change func(*Config), between func(*natsExtension) cluster.Bus) *collector {
	tb.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints = []string{url}
	if change != nil {
		change(cfg)
	}
	require.NoError(tb, cfg.Validate())
	ext, err := create(context.Background(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(tb, err)
	require.NoError(tb, ext.Start(context.Background(), componenttest.NewNopHost()))
	opts := cluster.DefaultOptions()
	opts.BufferBytes = 1 << 20
	opts.Changed = func(bool, error) {}
	opts.Problem = func(err error) { tb.Log("problem:", err) }
	c := &collector{tb: tb, ext: ext, cluster: cluster.New(opts)}
	hub := livetail.DefaultOptions()
	hub.Format, hub.AppendRecord, hub.Peers = classic.Format{}, tailv1.AppendRecord, c.cluster
	hub.ClientBytes, hub.RingRecords, hub.RingBytes = 64<<20, 1_000_000, 64<<20 // viewers here read when they are told to
	c.hub = livetail.New(hub)
	c.hub.Start()
	c.cluster.Start(c.hub, between(ext.(*natsExtension)))
	tb.Cleanup(c.close)
	return c
}

func (c *collector) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.hub.Close()
	c.cluster.Close()
	require.NoError(c.tb, c.ext.Shutdown(context.Background()))
}

func pair(tb testing.TB, url string, change func(*Config)) (one, two *collector) {
	tb.Helper()
	one, two = start(tb, url, change), start(tb, url, change)
	await(tb, one, two)
	return one, two
}

// await waits until all know each other.
func await(tb testing.TB, all ...*collector) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		for _, c := range all {
			if s := c.cluster.Stats(); s.Peers != len(all)-1 || !s.Settled {
				return false
			}
		}
		return true
	}, waitFor, tick)
	for _, c := range all {
		c.others = slices.DeleteFunc(slices.Clone(all), func(o *collector) bool { return o == c })
	}
}

func (c *collector) print(project string, first, n int) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_800_000_000, int64(i))))
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		lr.Body().SetStr(fmt.Sprint(i))
		lr.Attributes().PutStr("log.record.uid", fmt.Sprint(project, "/", i))
	}
	b := c.hub.NewBatch()
	b.AddLogs(ld)
	c.hub.Publish(b)
}

// viewer is a subscription of tailrace.v1.
type viewer struct {
	tb      testing.TB
	stream  *livetail.Stream
	bodies  []string
	dropped uint64
	unknown int
}

func (c *collector) view(channel string, backfill int) *viewer {
	c.tb.Helper()
	ch, err := livetail.ParseChannel(channel)
	require.NoError(c.tb, err)
	v := &viewer{tb: c.tb, stream: c.hub.NewStream(access.Local(), func() {})}
	c.tb.Cleanup(v.stream.Close)
	require.NoError(c.tb, v.stream.Subscribe(livetail.Request{Channel: ch, Backfill: backfill}, func(livetail.Subscribed) []byte { return nil }))
	// On a busy machine the subscription may have been let in before all others had heard of it: then there would be a gap.
	require.Eventually(c.tb, func() bool {
		s := c.cluster.Stats()
		return !s.Connected || !slices.ContainsFunc(c.others, func(o *collector) bool { return !o.closed && o.cluster.Stats().Wanted < s.Topics })
	}, waitFor, tick)
	return v
}

func (v *viewer) take() {
	var t livetail.StreamTaken
	for more := true; more; {
		more = v.stream.Take(&t, 1<<16)
		for _, out := range t.Outputs {
			switch {
			case out.Gap != nil:
				v.dropped += out.Gap.Dropped
				if !out.Gap.Known {
					v.unknown++
				}
			case out.Block != nil:
				for i := range out.Block.Records() {
					var r struct{ Body string }
					require.NoError(v.tb, json.Unmarshal(out.Block.Record(i), &r))
					v.bodies = append(v.bodies, r.Body)
				}
			}
		}
		v.stream.Sent(t.Records)
	}
}

// await waits until so many records have come, or were told to be lost.
func (v *viewer) await(records int) {
	v.tb.Helper()
	require.Eventually(v.tb, func() bool { v.take(); return len(v.bodies)+int(v.dropped) >= records }, waitFor, tick)
	require.Len(v.tb, v.bodies, records-int(v.dropped))
}

func numbers(first, n int) (out []string) {
	for i := first; i < first+n; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// Every project has a subject of its own, whatever its name.
func TestProjectsOfAnyName(t *testing.T) {
	one, two := pair(t, natstest.Start(t).URL(), nil)
	names := []string{"shop", "a.b", "a b", "*", ">", "a.*.>", "größe", "日本", "", "%", "A", "a", "$SYS", fmt.Sprintf("%0300d", 1), fmt.Sprintf("%0300d", 2)}
	all := two.view("*", 0)
	var views []*viewer
	for _, name := range names {
		if name == "" || name == "*" { // they have no channel of their own
			views = append(views, nil)
			continue
		}
		views = append(views, two.view("project:"+name, 0))
	}
	for i, name := range names {
		one.print(name, 10*i, 10)
	}
	all.await(10 * len(names))
	assert.Equal(t, numbers(0, 10*len(names)), all.bodies)
	for i, v := range views {
		if v != nil {
			v.await(10)
			assert.Equal(t, numbers(10*i, 10), v.bodies, names[i])
		}
	}
}

func TestManyRecordsComeOnceAndInOrder(t *testing.T) {
	one, two := pair(t, natstest.Start(t).URL(), nil)
	v := two.view("project:shop", 0)
	const n = 20_000
	for i := 0; i < n; i += 100 {
		one.print("shop", i, 100)
		v.take()
	}
	v.await(n)
	assert.Equal(t, numbers(0, n), v.bodies)
	assert.Zero(t, two.cluster.Stats().Lost)
}

func TestServerIsKilledAndComesBack(t *testing.T) {
	server := natstest.Start(t)
	one, two := pair(t, server.URL(), nil)
	atOne, atTwo := one.view("project:shop", 0), two.view("project:shop", 0)
	one.print("shop", 0, 100)
	atTwo.await(100)
	server.Kill()
	require.Eventually(t, func() bool { return !one.cluster.Stats().Connected && !two.cluster.Stats().Connected }, waitFor, tick)
	const n = 20_000 // more than the buffer takes
	for i := range n / 100 {
		one.print("shop", 100+100*i, 100)
		atOne.take()
	}
	atOne.await(100 + n)
	require.Positive(t, one.cluster.Stats().Dropped)
	server.Run()
	await(t, one, two)
	one.print("shop", 100+n, 100)
	atTwo.await(200 + n)
	assert.Positive(t, atTwo.dropped)
	assert.Zero(t, atTwo.unknown)
	assert.Equal(t, atTwo.dropped, two.cluster.Stats().Lost)
	two.print("shop", 200+n, 100)
	atOne.await(200 + n + 100)
	assert.Zero(t, atOne.dropped)
}

func TestServerThatComesLater(t *testing.T) {
	server := natstest.Start(t)
	server.Kill()
	one, two := start(t, server.URL(), nil), start(t, server.URL(), nil)
	atOne, atTwo := one.view("project:shop", 0), two.view("project:shop", 0)
	one.print("shop", 0, 10)
	atOne.await(10)
	server.Run()
	atTwo.await(10)
	assert.Zero(t, atTwo.dropped)
}

func TestStreamFillsTheRingOfACollectorThatComesLater(t *testing.T) {
	server := natstest.Start(t, "-js")
	keep := func(cfg *Config) { cfg.Stream = configoptional.Some(defaultStream()) }
	one := start(t, server.URL(), keep)
	require.Eventually(t, func() bool { return one.cluster.Stats().Connected }, waitFor, tick)
	one.print("shop", 0, 1000)
	require.Eventually(t, func() bool { return one.cluster.Stats().Published == 1000 }, waitFor, tick)
	two := start(t, server.URL(), keep)
	await(t, one, two)
	v := two.view("project:shop", 100)
	one.print("shop", 1000, 10)
	v.await(110)
	assert.Equal(t, numbers(900, 110), v.bodies)
	assert.Zero(t, v.dropped)
	assert.Zero(t, v.unknown)

	// One that has gone is still in the stream.
	one.close()
	three := start(t, server.URL(), keep)
	await(t, two, three)
	v = three.view("logs:shop", 1010)
	v.await(1010)
	assert.Equal(t, numbers(0, 1010), v.bodies)
}

// cutOff has one of two collectors miss the last ten of twenty records, and returns what it showed in the end.
func cutOff(t *testing.T, change func(*Config), args ...string) (v *viewer, two *collector) {
	server := natstest.Start(t, args...)
	proxy := natstest.Between(t, server.Addr)
	one, two := start(t, server.URL(), change), start(t, proxy.URL(), change)
	await(t, one, two)
	v = two.view("project:shop", 0)
	one.print("shop", 0, 10)
	v.await(10)
	proxy.Cut(true)
	require.Eventually(t, func() bool { return !two.cluster.Stats().Connected }, waitFor, tick)
	one.print("shop", 10, 10)
	require.Eventually(t, func() bool { return one.cluster.Stats().Published == 20 }, waitFor, tick)
	proxy.Cut(false)
	v.await(20)
	one.print("shop", 20, 10)
	v.await(30)
	return v, two
}

func TestACollectorThatWasCutOffIsToldWhatItHasMissed(t *testing.T) {
	v, two := cutOff(t, nil)
	assert.EqualValues(t, 10, v.dropped)
	assert.Equal(t, append(numbers(0, 10), numbers(20, 10)...), v.bodies)
	assert.EqualValues(t, 10, two.cluster.Stats().Lost)
}

func TestACollectorThatWasCutOffReadsFromTheStream(t *testing.T) {
	v, two := cutOff(t, func(cfg *Config) { cfg.Stream = configoptional.Some(defaultStream()) }, "-js")
	assert.Zero(t, v.dropped)
	assert.Equal(t, numbers(0, 30), v.bodies)
	assert.Zero(t, two.cluster.Stats().Lost)
}

func TestCredentials(t *testing.T) {
	server := natstest.Start(t, "--user", "tailrace", "--pass", "right")
	login := func(password configopaque.String) func(*Config) {
		return func(cfg *Config) { cfg.Auth.Username, cfg.Auth.Password = "tailrace", password }
	}
	one, two := pair(t, server.URL(), login("right"))
	v := two.view("*", 0)
	one.print("shop", 0, 10)
	v.await(10)
	wrong := start(t, server.URL(), login("wrong"))
	w := wrong.view("*", 0)
	wrong.print("shop", 100, 10)
	w.await(10)
	assert.False(t, wrong.cluster.Stats().Connected)
}
