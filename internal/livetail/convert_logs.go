// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"hash/maphash"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/unfinished"
)

// AttrPublicURL is where a deployment can be reached.
const AttrPublicURL = "url.full"

// Attributes of an evaluation result, as in the OpenTelemetry semantic conventions.
const (
	AttrScoreName        = "gen_ai.evaluation.name"
	AttrScoreValue       = "gen_ai.evaluation.score.value"
	AttrScoreLabel       = "gen_ai.evaluation.score.label"
	AttrScoreExplanation = "gen_ai.evaluation.explanation"
)

const attrServiceName = "service.name"

// maxUID is how much of a log.record.uid is kept; the usual ones have 26 or 36 bytes.
const maxUID = 128

// AddLogs copies every log record of ld into the batch. ld is only read, and nothing of it is kept.
func (b *Batch) AddLogs(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		res := newResource(rl.Resource())
		open := Signal(0) // the signal of the group being filled
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				m, again := b.putLog(&res, lr, marks{event: lr.EventName()})
				if again {
					b.drop()
					m = readMarks(lr)
					if m.partial != "" {
						if m.partial != unfinished.EventHeartbeat {
							continue // the span itself comes with the spans
						}
						b.source(res.source(SignalSpan))
						open = SignalSpan
						if b.addPartial(res, lr) {
							b.partial = true
							continue
						}
					}
					m, _ = b.putLog(&res, lr, m)
				}
				signal := SignalLog
				if m.event == identity.EventEvaluationResult {
					signal = SignalScore
				}
				if signal != open {
					b.source(res.source(signal))
					open = signal
				}
				b.endLog(&res, lr, signal, m)
			}
		}
	}
}

// putLog writes a record up to its attributes. What they say about it comes after what they decide (an event name, for one),
// which is rare: again tells that it has to be dropped and written once more, by all that readMarks finds.
func (b *Batch) putLog(res *resource, lr plog.LogRecord, m marks) (_ marks, again bool) {
	b.begin(SignalLog)
	t := lr.Timestamp()
	if t == 0 {
		t = lr.ObservedTimestamp()
	}
	b.putTimes(uint64(t), 0)
	trace, span := lr.TraceID(), lr.SpanID()
	h := b.header()
	copy(h[offTrace:], trace[:])
	copy(h[offSpan:], span[:])
	b.putString(res.service)
	b.putString(m.event)
	b.putString(lr.SeverityText())
	b.putValue(lr.Body(), 0)
	event := m.event
	b.putLogAttributes(lr.Attributes(), &m)
	return m, m.event != event || m.partial != "" || b.full
}

// endLog completes the record that putLog wrote.
func (b *Batch) endLog(res *resource, lr plog.LogRecord, signal Signal, m marks) {
	if lr.Timestamp() == 0 {
		b.untimed = true
	}
	class, stderr := classify(lr, m)
	h := b.header()
	h[offSignal] = byte(signal)
	h[offClass] = byte(class)
	h[offLevel] = byte(min(max(lr.SeverityNumber(), 0), 24))
	if stderr {
		b.flag(FlagStderr)
	}
	// identity stamps a fresh uid on every try of a sender that gave none: the content is hashed without it.
	b.putContent(res)
	uid := m.uid
	key := uint64(0)
	if uid != "" {
		key = hash2(maphash.String(b.seed, uid), res.projectHash(b.seed), 'l')
	}
	if short := cut(uid, maxUID); len(short) < len(uid) {
		b.flag(FlagTruncated)
		uid = short
	}
	b.putKey(uid)
	b.end(key)
}

// putContent adds the record to the hash of the whole batch.
func (b *Batch) putContent(res *resource) {
	b.identify = true
	b.content = hash2(hash2(b.content, b.contentHash(), 'c'), res.hash(b.seed), 'r')
}

// marks are the attributes that decide what a log record is, found in one pass.
type marks struct {
	event, stream, uid string
	partial            string // the event about an unfinished span
	line               bool   // there is a stream
}

func readMarks(lr plog.LogRecord) marks {
	m := marks{event: lr.EventName()}
	for k, v := range lr.Attributes().All() {
		m.note(k, v)
	}
	return m
}

func (m *marks) note(k string, v pcommon.Value) {
	switch k {
	case identity.AttrEventName:
		if m.event == "" {
			m.event = v.Str()
		}
	case identity.AttrLogStream:
		m.stream, m.line = v.Str(), true
	case unfinished.AttrEvent:
		m.partial = v.Str()
	case identity.AttrLogUID:
		m.uid = v.AsString()
	}
}

// classify says what a record reports, and whether it is a line of standard error.
func classify(lr plog.LogRecord, m marks) (class Class, stderr bool) {
	switch m.event {
	case identity.EventServerHealth:
		if isOneOf(lr, identity.AttrHealthStatus, "starting", "healthy", "unhealthy", "stopping") {
			return ClassServerHealth, false
		}
		return ClassPlain, false
	case identity.EventDeploymentStatus:
		if isOneOf(lr, identity.AttrDeploymentStatus, "pending", "building", "running", "stopped", "failed") {
			return ClassDeploymentStatus, false
		}
		return ClassPlain, false
	case identity.EventBuildStatus:
		if isOneOf(lr, identity.AttrBuildStatus, "queued", "building", "deploying", "succeeded", "failed", "cancelled") {
			return ClassBuildStatus, false
		}
		return ClassPlain, false
	case identity.EventServerLifecycle, identity.EventOutputDropped:
		return ClassLifecycle, lr.SeverityNumber() >= plog.SeverityNumberWarn
	}
	if !m.line {
		return ClassPlain, false
	}
	return ClassLine, m.stream == "stderr"
}

func isOneOf(lr plog.LogRecord, key string, allowed ...string) bool {
	v, ok := lr.Attributes().Get(key)
	if !ok {
		return false
	}
	s := v.Str()
	for _, a := range allowed {
		if s == a {
			return true
		}
	}
	return false
}

// resource is what the records of one resource share.
type resource struct {
	id      identity.Identity
	service string
	attrs   pcommon.Map
	hashed  *[2]uint64 // of the attributes, and of the project; filled on first use
}

func newResource(r pcommon.Resource) resource {
	res := resource{id: identity.FromResource(r.Attributes()), attrs: r.Attributes(), hashed: new([2]uint64)}
	if v, ok := r.Attributes().Get(attrServiceName); ok {
		res.service = v.AsString()
	}
	return res
}

func (r resource) source(s Signal) Source {
	return Source{Project: r.id.Project, Deployment: r.id.Deployment, Server: r.id.Server, Build: r.id.Build, Signal: s}
}

// hash tells resources apart, whatever the order of their attributes: two pods without a server id send the same
// series.
func (r resource) hash(seed maphash.Seed) uint64 {
	if r.hashed[0] == 0 {
		r.hashed[0] = attributesHash(seed, r.attrs) | 1
	}
	return r.hashed[0]
}

// projectHash tells projects apart.
func (r resource) projectHash(seed maphash.Seed) uint64 {
	if r.hashed[1] == 0 {
		r.hashed[1] = maphash.String(seed, r.id.Project) | 1
	}
	return r.hashed[1]
}

// attributesHash does not depend on the order of the attributes.
func attributesHash(seed maphash.Seed, m pcommon.Map) uint64 {
	var sum uint64
	for k, v := range m.All() {
		var vh uint64
		switch v.Type() {
		case pcommon.ValueTypeStr:
			vh = maphash.String(seed, v.Str())
		case pcommon.ValueTypeInt:
			vh = uint64(v.Int()) + 0x9e3779b97f4a7c15
		default:
			vh = maphash.String(seed, v.AsString())
		}
		sum += hash2(maphash.String(seed, k), vh, byte(v.Type()))
	}
	return sum
}

// hash2 mixes two hashes and a domain; the constants are those of splitmix64.
func hash2(a, b uint64, domain byte) uint64 {
	x := a + 0x9e3779b97f4a7c15*(uint64(domain)+1)
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x += b
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
