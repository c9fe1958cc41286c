// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/livetail"
)

// published is what the model knows of a record; its index is its sequence number minus one.
type published struct {
	project, server string
	severity        int // index of Severities
	body            string
}

// history is the model: every record that was published, in order. There is one publisher.
type history struct {
	mu  sync.Mutex
	all []published
}

func (m *history) snapshot() []published {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all
}

func (m *history) publish(h *livetail.Hub, rng *rand.Rand) { m.publishAtOnce(h, rng, 1+rng.IntN(20)) }

func (m *history) publishAtOnce(h *livetail.Hub, rng *rand.Rand, n int) {
	project, server := []string{"shop", "bank"}[rng.IntN(2)], fmt.Sprint("web-", rng.IntN(3))
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.Resource().Attributes().PutStr("server.id", server)
	sl := rl.ScopeLogs().AppendEmpty()
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		severity := rng.IntN(7)
		body := fmt.Sprint("line ", len(m.all), strings.Repeat("x", rng.IntN(100)))
		lr := sl.LogRecords().AppendEmpty()
		lr.Body().SetStr(body)
		if severity > 0 {
			lr.SetSeverityNumber(plog.SeverityNumber(1 + 4*(severity-1)))
		}
		m.all = append(m.all, published{project, server, severity, body})
	}
	ld.MarkReadOnly()
	publish(h, ld)
}

// modelFilter is a filter and what it means.
type modelFilter struct {
	text  string
	match func(published) bool
}

var modelFilters = []modelFilter{
	{``, func(published) bool { return true }},
	{`{"min_severity":"warn"}`, func(p published) bool { return p.severity >= 4 }},
	{`{"text":"LINE 1"}`, func(p published) bool { return strings.HasPrefix(p.body, "line 1") }},
	{`{"not":{"min_severity":"error"},"attributes":{"server.id":["web-0","web-1"]}}`, func(p published) bool { return p.severity < 5 && p.server != "web-2" }},
	{`{"regex":"^line \\d*7x*$"}`, func(p published) bool { return strings.HasSuffix(strings.TrimRight(p.body, "x"), "7") }},
}

type modelChannel struct {
	name string
	has  func(published) bool
}

var modelChannels = []modelChannel{
	{"*", func(published) bool { return true }},
	{"project:shop", func(p published) bool { return p.project == "shop" }},
	{"logs:bank", func(p published) bool { return p.project == "bank" }},
	{"server:web-1", func(p published) bool { return p.server == "web-1" }},
}

// modelSub is a subscription and what it must show: filters by the place from which on they hold.
type modelSub struct {
	id      uint32
	channel modelChannel
	from    []uint64
	filters []modelFilter
}

func (s *modelSub) filter(seq uint64) modelFilter {
	f := s.filters[0]
	for i, from := range s.from {
		if seq > from {
			f = s.filters[i]
		}
	}
	return f
}

// check compares all that a subscription got with the model.
func (s *modelSub) check(t *testing.T, r *reader, all []published, may func(published) bool) (evicted bool) {
	t.Helper()
	var sampled, until uint64
	var gone, told uint64 // evicted records: those that were, those that it was told of
	unknown := false
	for _, p := range r.parts[s.id] {
		var match, miss uint64
		want := map[uint64]bool{}
		var severities livetail.Severities
		for seq := p.after + 1; seq <= p.last; seq++ {
			rec := all[seq-1]
			if !s.channel.has(rec) || !may(rec) {
				continue
			}
			if !s.filter(seq).match(rec) {
				miss++
				continue
			}
			match++
			severities[rec.severity]++
			want[seq] = true
		}
		if g := p.gap; g != nil {
			switch {
			case !g.Known:
				require.Equal(t, livetail.ReasonEvicted, g.Reason)
				until, evicted, unknown = max(until, g.Until, g.Last), true, true
			case g.Reason == livetail.ReasonEvicted:
				require.Positive(t, g.Dropped)
				until, evicted = max(until, g.Until, g.Last), true
				gone, told = gone+match, told+g.Dropped
			case g.Reason == livetail.ReasonSampled:
				sampled += g.Dropped
			default:
				require.Equal(t, match, g.Dropped, "gap (%d, %d] of %s", p.after, p.last, s.channel.name)
				require.Equal(t, miss, g.Filtered)
				require.Equal(t, severities, g.BySeverity)
			}
			continue
		}
		last := p.after
		for _, rec := range p.records {
			require.Greater(t, rec.Seq, last, "in order, none twice")
			last = rec.Seq
			require.True(t, want[rec.Seq], "%s shows %d, which is not for it", s.channel.name, rec.Seq)
			require.Equal(t, all[rec.Seq-1].body, rec.Body)
			delete(want, rec.Seq)
		}
		lost := uint64(0)
		for seq := range want {
			if seq > until {
				lost++
			} else {
				gone++
			}
		}
		require.LessOrEqual(t, lost, sampled, "batch (%d, %d] of %s", p.after, p.last, s.channel.name)
		if p.after >= until {
			require.Equal(t, miss, p.filtered, "batch (%d, %d] of %s", p.after, p.last, s.channel.name)
		}
		sampled -= lost
	}
	require.Zero(t, sampled, "told to be sampled, but there")
	if !unknown {
		require.Equal(t, gone, told, "evicted records of %s", s.channel.name)
	}
	return evicted
}

// Whatever clients do while records come, each subscription gets an account of every record that is neither too much nor
// too little: what it sees, what it is told to have lost and what its filter left out are all that was published.
func TestModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, seed)
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	h := newHub(t, func(o *livetail.Options) {
		o.RingRecords, o.ClientBytes, o.MaxChannels = 400, 24<<10, 8
	})
	var m history
	stop := make(chan struct{})
	var publisher, clients sync.WaitGroup
	publisher.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			m.publish(h, rng)
			if len(m.all) > 20_000 {
				return
			}
		}
	})
	for n := range 6 {
		clients.Go(func() { modelClient(t, h, &m, rand.New(rand.NewPCG(seed, uint64(10+n)))) })
	}
	clients.Wait()
	close(stop)
	publisher.Wait()
	s := h.Stats()
	assert.Equal(t, s.Matched, s.Delivered+s.DroppedSlow+s.DroppedSampled+s.DroppedBusy+s.DroppedClosed+s.DroppedEvicted)
}

func modelClient(t *testing.T, h *livetail.Hub, m *history, rng *rand.Rand) {
	caller, may := access.Local(), func(published) bool { return true }
	if rng.IntN(2) == 0 {
		caller, may = viewer("shop"), func(p published) bool { return p.project == "shop" }
	}
	r := newReader(t, h, caller)
	subs := map[uint32]*modelSub{}
	begin := func(req livetail.Request, ch modelChannel, f modelFilter) *modelSub {
		req.Channel = channel(t, ch.name)
		if f.text != "" {
			req.Filter = filter(t, f.text)
		}
		s := &modelSub{id: r.subscribe(req), channel: ch, filters: []modelFilter{f}, from: []uint64{0}}
		subs[s.id] = s
		return s
	}
	one := func() *modelSub {
		for _, s := range subs {
			return s
		}
		return nil
	}
	end := func(s *modelSub) {
		s.check(t, r, m.snapshot(), may)
		delete(subs, s.id)
	}
	for range 80 {
		s := one()
		switch op := rng.IntN(12); {
		case s == nil, op == 0 && len(subs) < 5:
			req := livetail.Request{Backfill: rng.IntN(300)}
			if rng.IntN(4) == 0 {
				req.MaxRate = 100 + rng.IntN(1000)
			}
			begin(req, modelChannels[rng.IntN(len(modelChannels))], modelFilters[rng.IntN(len(modelFilters))])
		case op == 1:
			require.NoError(t, r.stream.Pause(s.id, func(uint64) []byte { return []byte("p") }))
		case op == 2:
			require.NoError(t, r.stream.Resume(s.id, func(uint64) []byte { return []byte("r") }))
		case op == 3:
			f := modelFilters[rng.IntN(len(modelFilters))]
			require.NoError(t, r.stream.Update(s.id, func(req *livetail.Request) { req.Filter = filter(t, f.text) }, func(seq uint64) []byte {
				s.from, s.filters = append(s.from, seq), append(s.filters, f)
				return []byte("u")
			}))
		case op == 4 && rng.IntN(3) == 0:
			require.NoError(t, r.stream.Unsubscribe(s.id, []byte("gone")))
			end(s)
		case op == 5 && rng.IntN(3) == 0: // the connection breaks, and goes on behind what it has
			at, ch, f := r.at[s.id], s.channel, s.filters[len(s.filters)-1]
			for _, s := range subs {
				end(s)
			}
			r.stream.Close()
			r = newReader(t, h, caller)
			begin(livetail.Request{Resume: &livetail.Position{Epoch: h.Epoch(), Seq: at}}, ch, f)
		case op == 6: // stalls until so much has come
			goal := len(m.snapshot()) + rng.IntN(1000)
			for i := 0; len(m.snapshot()) < goal && i < 50_000; i++ {
				continue
			}
		default:
			for range rng.IntN(20) {
				r.take(1 << rng.IntN(17))
			}
		}
	}
	final := uint64(len(m.snapshot()))
	for _, s := range subs {
		require.NoError(t, r.stream.Resume(s.id, func(uint64) []byte { return []byte("r") }))
	}
	for _, s := range subs {
		r.upTo(s.id, final)
		end(s)
	}
	r.stream.Close()
}
