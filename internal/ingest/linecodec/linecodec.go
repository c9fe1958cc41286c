// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package linecodec turns lines into batches for internal/ingest: OTLP/JSON (TracesData, LogsData, MetricsData), flat lines with
// ClickHouse's columns, and the envelope of the replaced system. Each line says which of them it is, so a file may hold all.
//
// What a batch holds follows from its lines, and the names of the folders and files that they are in, alone. Packages
// internal/otlpjson, internal/flatjson and internal/envelope decode them, and refuse what is not
// one JSON document. Four things are added that the store behind it needs:
//
//   - A line without anything of this signal is refused: the decoder takes another signal's line for an empty one.
//   - Records that ClickHouse's client is known to refuse, and with them the whole insert, are cut out: a metric
//     without a type, and times after the year 2262. So are spans that end after it, and what has no time, which would be
//     taken for a record of 1970.
//   - A span that ends before it starts ends at its start.
//   - A batch that touches more than maxDays days is cut into units of that many: one insert may touch 100
//     partitions, tables are partitioned by day, and in the server's time zone a day of UTC is a part of two.
package linecodec

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/tailrace/tailrace/internal/ingest"
)

const (
	// maxDays is how many days of UTC a unit touches at most: twice as many partitions stay below 100.
	maxDays = 48
	// maxTime is the last second that ClickHouse's client takes for a DateTime64(9).
	maxTime pcommon.Timestamp = 9223372036 * 1e9

	nanosPerDay = 24 * 3600 * 1e9
)

const (
	reasonTime   = "a time is after the year 2262, which the store does not take"
	reasonNoTime = "it has no time: as a record of 1970 it would expire at once"
	reasonNoType = "the metric has no data, which the store refuses"
)

// codec is what differs between the signals. D is pdata's type of the signal.
type codec[D any] struct {
	decode    func(of ingest.Key, line []byte, into D) error
	marshal   func(D) ([]byte, error)
	empty     func() D
	records   func(D) int
	resources func(D) int
	// appendTo moves what is sent, the store's form of it, to the batch.
	appendTo func(from, to D)
	// days calls f with the days that the records touch.
	days func(d D, f func(day int64))
	// poison cuts out of d what the store refuses, and returns it record by record. It does nothing to d
	// when it returns none.
	poison func(d D) ([]D, []string)
	// keep removes the records of d whose day f does not want.
	keep func(d D, f func(day int64) bool)
	copy func(D) D
}

// Unit is what is sent at once: Data is a ptrace.Traces, plog.Logs or pmetric.Metrics.
type Unit[D any] struct {
	Data D
	n    int
}

// Records implements ingest.Unit.
func (u *Unit[D]) Records() int { return u.n }

// batch implements ingest.Batch.
type batch[D any] struct {
	codec *codec[D]
	data  D
	order []int64       // days in order of their first appearance
	seen  map[int64]int // day to the place in order
	unit  map[int64]int // day to unit, once Units was called with a plan
}

func newBatch[D any](c *codec[D]) ingest.Batch {
	return &batch[D]{codec: c, data: c.empty(), seen: map[int64]int{}}
}

// decode decodes a line and separates what the store refuses.
func (b *batch[D]) decode(of ingest.Key, line []byte) (d D, rejected []D, reasons []string, err error) {
	// The decoder works on bytes from anywhere; a panic in it must cost a line and not the process.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the decoder failed: %v", p)
		}
	}()
	d = b.codec.empty()
	if err = b.codec.decode(of, line, d); err != nil {
		return d, nil, nil, err
	}
	rejected, reasons = b.codec.poison(d)
	return d, rejected, reasons, nil
}

// Add implements ingest.Batch.
func (b *batch[D]) Add(of ingest.Key, line []byte) (ingest.Added, error) {
	d, rejected, reasons, err := b.decode(of, line)
	if err != nil {
		return ingest.Added{}, err
	}
	added := ingest.Added{Records: b.codec.records(d)}
	if added.Records == 0 && len(rejected) == 0 && b.codec.resources(d) == 0 {
		return ingest.Added{}, errors.New("the line holds nothing of this signal")
	}
	for i, r := range rejected {
		text, err := b.codec.marshal(r)
		if err != nil {
			return ingest.Added{}, fmt.Errorf("a rejected record can't be written: %w", err)
		}
		added.Rejected = append(added.Rejected, ingest.Rejected{Line: text, Reason: reasons[i]})
	}
	b.codec.days(d, func(day int64) {
		if _, ok := b.seen[day]; !ok {
			b.seen[day] = len(b.order)
			b.order = append(b.order, day)
		}
	})
	b.codec.appendTo(d, b.data)
	return added, nil
}

// Plan implements ingest.Batch: the days of each unit, when there has to be more than one.
func (b *batch[D]) Plan() json.RawMessage {
	if len(b.order) <= maxDays {
		return nil
	}
	var plan [][]int64
	for i := 0; i < len(b.order); i += maxDays {
		plan = append(plan, b.order[i:min(i+maxDays, len(b.order))])
	}
	text, err := json.Marshal(plan)
	if err != nil {
		panic(err) // numbers can always be marshalled
	}
	return text
}

// Units implements ingest.Batch.
func (b *batch[D]) Units(plan json.RawMessage) ([]ingest.Unit, error) {
	if len(plan) == 0 {
		n := b.codec.records(b.data)
		if n == 0 {
			return []ingest.Unit{nil}, nil
		}
		return []ingest.Unit{&Unit[D]{Data: b.data, n: n}}, nil
	}
	var days [][]int64
	if err := json.Unmarshal(plan, &days); err != nil {
		return nil, fmt.Errorf("plan of a batch: %w", err)
	}
	b.unit = map[int64]int{}
	for i, list := range days {
		for _, day := range list {
			b.unit[day] = i
		}
	}
	units := make([]ingest.Unit, len(days))
	for i := range days {
		part := b.codec.copy(b.data)
		b.codec.keep(part, func(day int64) bool { return b.unit[day] == i })
		if n := b.codec.records(part); n > 0 {
			units[i] = &Unit[D]{Data: part, n: n}
		}
	}
	return units, nil
}

// Part implements ingest.Batch.
func (b *batch[D]) Part(of ingest.Key, line []byte, i int) ([]byte, error) {
	d, rejected, _, err := b.decode(of, line)
	if err != nil {
		return nil, err
	}
	all := b.codec.records(d)
	if b.unit != nil {
		b.codec.keep(d, func(day int64) bool { return b.unit[day] == i })
	}
	switch n := b.codec.records(d); {
	case n == 0:
		return nil, nil
	case n == all && len(rejected) == 0:
		return line, nil
	}
	return b.codec.marshal(d)
}

// wrongWithTime says what is wrong with the time under which a record is filed; "" is nothing.
func wrongWithTime(ts pcommon.Timestamp) string {
	switch {
	case ts == 0:
		return reasonNoTime
	case ts > maxTime:
		return reasonTime
	}
	return ""
}

func dayOf(ts pcommon.Timestamp) int64 { return int64(ts / nanosPerDay) }
