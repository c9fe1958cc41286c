// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailv1

import (
	"strconv"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/recordjson"
)

var signalNames = [...]string{
	livetail.SignalLog: "log", livetail.SignalSpan: "span", livetail.SignalMetric: "metric", livetail.SignalScore: "score",
}

// AppendRecord appends a record as an object: its place, its signal, then the members of its general form.
func AppendRecord(dst []byte, src livetail.Source, rec livetail.Record) []byte {
	dst = append(dst, '{')
	if rec.Seq() > 0 { // one from the store has no place
		dst = append(dst, "\"seq\":"...)
		dst = strconv.AppendUint(dst, rec.Seq(), 10)
		dst = append(dst, ',')
	}
	dst = append(dst, "\"signal\":\""...)
	dst = append(dst, signalNames[rec.Signal()]...)
	dst = append(dst, '"')
	o := recordjson.Object{B: dst}
	if rec.Signal() == livetail.SignalSpan {
		o.Str("state", spanState(rec))
		o.Key("time")
		o.B = recordjson.AppendNanos(o.B, rec.UnixNano())
	}
	recordjson.AppendMembers(&o, &src, rec)
	return append(o.B, '}')
}

func spanState(rec livetail.Record) string {
	switch {
	case rec.Has(livetail.FlagOrphan):
		return "orphaned"
	case rec.Has(livetail.FlagOpen):
		return "started"
	default:
		return "ended"
	}
}

// AppendBatchHead appends what stands before the records of a batch, BatchTail what stands behind them.
func AppendBatchHead(dst []byte, out *livetail.Output) []byte {
	dst = append(dst, "{\"type\":\"batch\",\"payload\":{\"sub\":"...)
	dst = strconv.AppendUint(dst, uint64(out.Sub), 10)
	dst = append(dst, ",\"after\":"...)
	dst = strconv.AppendUint(dst, out.After, 10)
	dst = append(dst, ",\"last\":"...)
	dst = strconv.AppendUint(dst, out.Last, 10)
	dst = append(dst, ",\"filtered\":"...)
	dst = strconv.AppendUint(dst, out.Filtered, 10)
	if out.Stored {
		dst = append(dst, ",\"stored\":true"...)
	}
	if out.Older {
		dst = append(dst, ",\"older\":true"...)
	}
	if out.At > 0 {
		dst = append(dst, ",\"at\":"...)
		dst = strconv.AppendInt(dst, out.At, 10)
	}
	return append(dst, ",\"records\":["...)
}

// BatchTail ends a batch.
const BatchTail = "]}}"

var (
	reasons = [...]string{livetail.ReasonSlow: "slow", livetail.ReasonSampled: "sampled", livetail.ReasonEvicted: "evicted", livetail.ReasonLost: "lost"}
	levels  = [...]string{"unset", "trace", "debug", "info", "warn", "error", "fatal"}
)

// AppendFilled appends the message that ends what came from the store.
func AppendFilled(dst []byte, sub uint32, f *livetail.Filled) []byte {
	dst = append(dst, "{\"type\":\"filled\",\"payload\":"...)
	dst = AppendFilledObject(dst, sub, f)
	return append(dst, '}')
}

// AppendFilledObject appends its payload.
func AppendFilledObject(dst []byte, sub uint32, f *livetail.Filled) []byte {
	o := recordjson.Object{B: append(dst, '{'), First: true}
	o.Key("sub")
	o.B = strconv.AppendUint(o.B, uint64(sub), 10)
	o.Key("records")
	o.B = strconv.AppendUint(o.B, f.Records, 10)
	o.Key("complete")
	o.B = strconv.AppendBool(o.B, f.Complete)
	o.Key("signals")
	o.B = append(o.B, '[')
	for i, s := range f.Signals {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.B = append(o.B, storedSignals[s]...)
	}
	o.B = append(o.B, ']')
	if f.Older {
		o.Key("older")
		o.B = append(o.B, "true"...)
	}
	o.Optional("message", f.Problem)
	return append(o.B, '}')
}

// storedSignals are what the rows of a table are: scores are log records.
var storedSignals = map[livetail.Signal]string{livetail.SignalLog: `"log","score"`, livetail.SignalSpan: `"span"`}

// AppendGap appends a gap message.
func AppendGap(dst []byte, sub uint32, ch livetail.Channel, g *livetail.Gap) []byte {
	dst = append(dst, "{\"type\":\"gap\",\"payload\":"...)
	dst = AppendGapObject(dst, sub, ch, g)
	return append(dst, '}')
}

// AppendGapObject appends the payload of a gap.
func AppendGapObject(dst []byte, sub uint32, ch livetail.Channel, g *livetail.Gap) []byte {
	o := recordjson.Object{B: append(dst, '{'), First: true}
	o.Key("sub")
	o.B = strconv.AppendUint(o.B, uint64(sub), 10)
	o.Key("after")
	o.B = strconv.AppendUint(o.B, g.After, 10)
	o.Key("last")
	o.B = strconv.AppendUint(o.B, g.Last, 10)
	if g.Until > g.Last {
		o.Key("until")
		o.B = strconv.AppendUint(o.B, g.Until, 10)
	}
	o.Key("dropped")
	if g.Known {
		o.B = strconv.AppendUint(o.B, g.Dropped, 10)
	} else {
		o.B = append(o.B, "null"...)
	}
	o.Open("by_severity")
	for i, n := range g.BySeverity {
		if n > 0 {
			o.Key(levels[i])
			o.B = strconv.AppendUint(o.B, n, 10)
		}
	}
	o.Close()
	if g.Filtered > 0 {
		o.Key("filtered")
		o.B = strconv.AppendUint(o.B, g.Filtered, 10)
	}
	o.Str("reason", reasons[g.Reason])
	if g.Reason == livetail.ReasonEvicted || g.Reason == livetail.ReasonLost {
		appendQueries(&o, ch, g)
	}
	return append(o.B, '}')
}
