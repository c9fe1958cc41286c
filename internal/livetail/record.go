// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"hash/maphash"
	"time"
)

// Signal says what a record is. A score is a log record with the event name of an evaluation result.
type Signal uint8

// The signals, in the order of their channel prefixes logs:, spans:, metrics: and scores:.
const (
	SignalLog Signal = iota + 1
	SignalSpan
	SignalMetric
	SignalScore
)

// Class refines a log record by what it reports. A record that lacks what its event name promises (a
// server.health without a known status) is ClassPlain.
type Class uint8

// Classes of log records.
const (
	ClassPlain Class = iota
	ClassLine
	ClassLifecycle
	ClassServerHealth
	ClassDeploymentStatus
	ClassBuildStatus
)

// Flag holds yes/no facts about a record.
type Flag uint8

// Flags of a record.
const (
	// FlagTruncated: the record was above the limit for one record and has been cut.
	FlagTruncated Flag = 1 << iota
	// FlagStderr: a line of standard error.
	FlagStderr
	// FlagOpen: a span that has no end yet.
	FlagOpen
	// FlagMonotonic: a sum that only rises.
	FlagMonotonic
	// FlagHasValue: the data point has a value (metrics), sum (histograms).
	FlagHasValue
	// FlagHasMin and FlagHasMax: the histogram carries its extremes.
	FlagHasMin
	FlagHasMax
	// FlagOrphan: an open span whose heartbeats have stopped.
	FlagOrphan
)

// The flat layout of a record. Everything is copied into it once, when it arrives, and nothing of pdata is
// kept (doc.go says why). Integers are little endian; a string is a uvarint length and its bytes.
//
//	 0  uint32  length of the whole record
//	 4  uint8   Signal
//	 5  uint8   Class (logs), MetricType (metrics)
//	 6  uint8   severity number (logs), kind (spans), temporality (metrics)
//	 7  uint8   Flag
//	 8  uint64  sequence number, given by the hub
//	16  int64   time (logs, metrics), start (spans); Unix nanoseconds
//	24  int64   end (spans), start (metrics)
//	32  [16]    trace id
//	48  [8]     span id
//	56  [8]     parent span id
//	64  uint8   status code (spans)
//	65  string  service name
//	..  string  event name (logs), span name, metric name
//	..  string  severity text (logs), status message (spans), unit (metrics)
//	..  value   body (logs); point (metrics)
//	..  uint16  number of attributes, then key string and value each
//	..  uint16  number of events (spans), then int64 time, name string, attributes each
//	..  string  log.record.uid (logs): last, so that the hash of the content ends before it
const (
	offLength  = 0
	offSignal  = 4
	offClass   = 5
	offLevel   = 6
	offFlags   = 7
	offSeq     = 8
	offTime    = 16
	offTime2   = 24
	offTrace   = 32
	offSpan    = 48
	offParent  = 56
	offStatus  = 64
	headerSize = 65
)

// Tags of a value.
const (
	tagEmpty byte = iota
	tagString
	tagBool
	tagInt
	tagDouble
	tagMap
	tagSlice
	tagBytes
)

// Record is one record in its flat form. It is immutable once it has a sequence number and safe for concurrent
// reads. It points into memory that it shares with its neighbours: who keeps it keeps up to 64 KiB.
type Record []byte

// Signal of the record.
func (r Record) Signal() Signal { return Signal(r[offSignal]) }

// Class of a log record.
func (r Record) Class() Class { return Class(r[offClass]) }

// Has reports whether all of the flags are set.
func (r Record) Has(f Flag) bool { return Flag(r[offFlags])&f == f }

// Seq is the place of the record in the hub-wide order, from 1.
func (r Record) Seq() uint64 { return binary.LittleEndian.Uint64(r[offSeq:]) }

// Severity is the OpenTelemetry severity number of a log record, 0 when it has none.
func (r Record) Severity() int { return int(r[offLevel]) }

// Kind is the OpenTelemetry span kind.
func (r Record) Kind() int { return int(r[offLevel]) }

// Status is the OpenTelemetry status code of a span.
func (r Record) Status() int { return int(r[offStatus]) }

// UnixNano is the record's own time (for a span its start), in Unix nanoseconds.
func (r Record) UnixNano() int64 { return int64(binary.LittleEndian.Uint64(r[offTime:])) }

// Time is UnixNano as a time in UTC.
func (r Record) Time() time.Time { return time.Unix(0, r.UnixNano()).UTC() }

// SecondUnixNano is the end of a span or the start of a metric's interval, 0 when unknown.
func (r Record) SecondUnixNano() int64 { return int64(binary.LittleEndian.Uint64(r[offTime2:])) }

// TraceID of the record; all zero when it has none.
func (r Record) TraceID() [16]byte { return [16]byte(r[offTrace:offSpan]) }

// SpanID of the record; all zero when it has none.
func (r Record) SpanID() [8]byte { return [8]byte(r[offSpan:offParent]) }

// ParentSpanID of a span; all zero for a root.
func (r Record) ParentSpanID() [8]byte { return [8]byte(r[offParent:offStatus]) }

// identity tells a record from others wherever it comes from: a log or score by its uid, an ended span by its ids, kind and start.
// 0: it can't be told.
func (r Record) identity(h *Hub, project string) uint64 {
	in := maphash.String(h.seed, project)
	switch r.Signal() {
	case SignalLog, SignalScore:
		f := r.attributes()
		for range f.Count() {
			f.String()
			f.Skip(f.Value())
		}
		if uid := f.String(); len(uid) > 0 {
			return hash2(maphash.Bytes(h.seed, uid), in, 'l')
		}
	case SignalSpan:
		if !r.Has(FlagOpen) && r.SpanID() != [8]byte{} {
			return hash2(maphash.Bytes(h.seed, r[offTrace:offParent]), in^uint64(r.UnixNano())^uint64(r.Kind()), 's')
		}
	}
	return 0
}

// Fields returns a reader that stands before the first variable field: service, name, text, and so on in the
// order of the layout.
func (r Record) Fields() Fields { return Fields{b: r[headerSize:]} }

// Fields reads the variable part of a record in order. It never allocates; what it returns points into the record.
type Fields struct{ b []byte }

// String reads a string. The bytes may be invalid UTF-8, as the sender sent them.
func (f *Fields) String() []byte {
	if len(f.b) > 0 && f.b[0] < 0x80 { // most are short
		n := 1 + int(f.b[0])
		s := f.b[1:n]
		f.b = f.b[n:]
		return s
	}
	n, w := binary.Uvarint(f.b)
	s := f.b[w : w+int(n)]
	f.b = f.b[w+int(n):]
	return s
}

// Count reads the number of attributes, events or elements that follow.
func (f *Fields) Count() int {
	n := int(binary.LittleEndian.Uint16(f.b))
	f.b = f.b[2:]
	return n
}

// Uint64 reads eight bytes.
func (f *Fields) Uint64() uint64 {
	n := binary.LittleEndian.Uint64(f.b)
	f.b = f.b[8:]
	return n
}

// Byte reads one byte.
func (f *Fields) Byte() byte {
	c := f.b[0]
	f.b = f.b[1:]
	return c
}

// Source is where records come from; its rings are the unit of retention.
type Source struct {
	Project    string
	Deployment string
	Server     string
	Build      string
	Signal     Signal

	// elsewhere: the ring stands for what was lost on the way from other hubs, of whatever deployment, server or build.
	elsewhere bool
}
