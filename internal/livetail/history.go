// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/access"
)

// History is where records are that the rings have lost, or that an earlier run had. Metrics are not asked for. Implementations
// are safe for concurrent use.
type History interface {
	// Settle waits until what had been taken in when it was called can be read. An error says that this is not sure.
	Settle(ctx context.Context) error
	// Read returns a page of what the caller may read. What is not in the channel, or is outside of the times, is not in it; of the filter it
	// may honour as much as it likes.
	Read(ctx context.Context, q HistoryQuery) (HistoryPage, error)
}

// HistoryQuery asks for records of one signal: SignalLog (scores are log records) or SignalSpan.
type HistoryQuery struct {
	Signal  Signal
	Channel Channel
	Filter  *Filter
	Caller  *access.Caller
	// From and To bound the time of a record; of a span, some of it lies between. Zero From: from the beginning.
	From, To time.Time
	// Newest begins with the newest instead of the oldest.
	Newest bool
	// Cursor goes on behind another page.
	Cursor string
	Limit  int
}

// HistoryPage is a page, in the order that was asked for. Attributes are strings, as they are stored.
type HistoryPage struct {
	Logs  plog.Logs
	Spans ptrace.Traces
	// Next is the cursor of the page behind it, "": there is none.
	Next string
}

// Hints are conditions of a filter that a database can use; each is implied by the filter, so that nothing is left out by them.
type Hints struct {
	MinSeverity int // of logs that have a severity number
	Service     []string
	EventName   []string // of logs
	Failed      bool     // spans
}

// Hints returns what a database can use of the filter; nil has none.
func (f *Filter) Hints() (h Hints) {
	if f == nil {
		return h
	}
	h.MinSeverity, h.Failed = f.minSeverity, f.status == 2
	for _, s := range f.service {
		h.Service = append(h.Service, string(s))
	}
	for _, s := range f.event {
		h.EventName = append(h.EventName, string(s))
	}
	return h
}

// signals reports whether records of a signal can match.
func (f *Filter) has(s Signal) bool { return f == nil || f.signals == 0 || f.signals&(1<<s) != 0 }

// ofStored is the filter for records whose attributes have become strings.
func (f *Filter) ofStored() *Filter {
	if f == nil || len(f.attributes) == 0 && f.not == nil {
		return f
	}
	g := *f
	g.not = f.not.ofStored()
	g.attributes = make([]attributeCondition, len(f.attributes))
	for i, c := range f.attributes {
		g.attributes[i] = c
		values := make([]attributeValue, 0, 2*len(c.values))
		for _, v := range c.values {
			values = append(values, v)
			switch v.kind {
			case KindBool:
				values = append(values, attributeValue{kind: KindString, text: strconv.AppendBool(nil, v.yes)})
			case KindDouble:
				values = append(values, attributeValue{kind: KindString, text: strconv.AppendFloat(nil, v.number, 'f', -1, 64)})
				if e := strconv.FormatFloat(v.number, 'e', -1, 64); e != string(values[len(values)-1].text) {
					values = append(values, attributeValue{kind: KindString, text: []byte(e)})
				}
			}
		}
		g.attributes[i].values = values
	}
	return &g
}

// historySignals are those that a request can be filled with.
func (r *Request) historySignals() (all []Signal) {
	kind := r.Channel.Kind
	if kind != ChannelSpans && kind != ChannelMetrics && (r.Filter.has(SignalLog) || r.Filter.has(SignalScore)) {
		all = append(all, SignalLog)
	}
	if kind != ChannelLogs && kind != ChannelScores && kind != ChannelMetrics && r.Filter.has(SignalSpan) {
		all = append(all, SignalSpan)
	}
	return all
}
