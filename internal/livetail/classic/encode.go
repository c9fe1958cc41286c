// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"bytes"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/livetail"
)

// The forms of a record. The channels of one server, build or deployment show exactly what they showed in the classic
// protocol; wider ones show every record in its general form.
const (
	formRecord livetail.Form = iota + 1
	formServerLog
	formServerHealth
	formBuildLog
	formBuildStatus
	formDeploymentStatus
)

// Format is the classic level's livetail.Format.
type Format struct{}

var _ livetail.Format = Format{}

// Form implements livetail.Format.
func (Format) Form(kind livetail.ChannelKind, rec livetail.Record) livetail.Form {
	if kind > livetail.ChannelDeployment {
		return formRecord
	}
	if rec.Signal() != livetail.SignalLog {
		return livetail.FormNone
	}
	class := rec.Class()
	switch {
	case kind == livetail.ChannelServer && (class == livetail.ClassLine || class == livetail.ClassLifecycle):
		return formServerLog
	case kind == livetail.ChannelServer && class == livetail.ClassServerHealth:
		return formServerHealth
	case kind == livetail.ChannelBuild && class == livetail.ClassBuildStatus:
		return formBuildStatus
	case kind == livetail.ChannelBuild && (class == livetail.ClassLine || class == livetail.ClassPlain):
		return formBuildLog
	case kind == livetail.ChannelDeployment && class == livetail.ClassDeploymentStatus:
		return formDeploymentStatus
	default:
		return livetail.FormNone
	}
}

// Append implements livetail.Format.
func (Format) Append(dst []byte, src livetail.Source, rec livetail.Record, form livetail.Form) []byte {
	o := object{b: append(dst, "{\"type\":\""...), first: true}
	switch form {
	case formServerLog:
		o.payload("server:log")
		appendServerLog(&o, src, rec)
	case formServerHealth:
		o.payload("server:health")
		appendServerHealth(&o, src, rec)
	case formBuildLog:
		o.payload("build:log")
		appendBuildLog(&o, src, rec)
	case formBuildStatus:
		o.payload("build:status")
		appendStatus(&o, rec, "buildId", src.Build, identity.AttrBuildStatus)
	case formDeploymentStatus:
		o.payload("deployment:status")
		appendStatus(&o, rec, "deploymentId", src.Deployment, identity.AttrDeploymentStatus)
	default:
		appendRecord(&o, src, rec)
	}
	return append(o.b, '}', '}')
}

func (o *object) payload(typ string) {
	o.b = append(o.b, typ...)
	o.b = append(o.b, "\",\"payload\":{"...)
	o.first = true
}

func appendRecord(o *object, src livetail.Source, rec livetail.Record) {
	switch {
	case rec.Signal() == livetail.SignalMetric:
		o.payload("metric")
		appendSource(o, src)
		appendMetric(o, rec)
	case rec.Signal() == livetail.SignalScore:
		o.payload("score")
		appendSource(o, src)
		appendScore(o, rec)
	case rec.Signal() == livetail.SignalLog:
		o.payload("log")
		appendSource(o, src)
		appendLog(o, rec)
	case rec.Has(livetail.FlagOpen):
		o.payload("span:started")
		appendSource(o, src)
		appendSpan(o, rec)
	default:
		o.payload("span:ended")
		appendSource(o, src)
		appendSpan(o, rec)
	}
	if rec.Has(livetail.FlagTruncated) {
		o.key("truncated")
		o.b = append(o.b, "true"...)
	}
}

func appendSource(o *object, src livetail.Source) {
	o.str("project", src.Project)
	o.optional("deployment", src.Deployment)
	o.optional("server", src.Server)
	o.optional("build", src.Build)
}

// logFields are the variable fields of a log record.
type logFields struct {
	service, event, severity []byte
	body                     livetail.Value
	inBody                   livetail.Fields // before the elements of body
	attributes               livetail.Fields
	uid                      []byte
}

func readLog(rec livetail.Record) (l logFields) {
	f := rec.Fields()
	l.service, l.event, l.severity = f.String(), f.String(), f.String()
	l.body = f.Value()
	l.inBody = f
	f.Skip(l.body)
	l.attributes = f
	for range f.Count() {
		f.String()
		f.Skip(f.Value())
	}
	l.uid = f.String()
	return l
}

// line writes the text of a line: as it was printed where that is known, and the body otherwise.
func (l *logFields) line(o *object, name string) {
	if original, ok := l.attributes.Attribute(identity.AttrLogOriginal); ok && original.Kind == livetail.KindString {
		o.bytes(name, original.Str)
		return
	}
	f := l.inBody
	o.text(name, &f, l.body)
}

func appendServerLog(o *object, src livetail.Source, rec livetail.Record) {
	l := readLog(rec)
	o.str("serverId", src.Server)
	if state, ok := l.attributes.Attribute(identity.AttrLifecycleState); ok && l.body.Kind == livetail.KindEmpty {
		o.str("line", identity.EventServerLifecycle+": "+string(state.Str))
	} else {
		l.line(o, "line")
	}
	o.key("timestamp")
	o.b = appendMillis(o.b, rec.UnixNano())
	stream := "stdout"
	if rec.Has(livetail.FlagStderr) {
		stream = "stderr"
	}
	o.str("stream", stream)
	o.optionalBytes("id", l.uid)
}

func appendBuildLog(o *object, src livetail.Source, rec livetail.Record) {
	l := readLog(rec)
	o.str("buildId", src.Build)
	l.line(o, "line")
	o.key("timestamp")
	o.b = appendMillis(o.b, rec.UnixNano())
	o.str("level", classicLevel(rec, l.severity))
}

func appendServerHealth(o *object, src livetail.Source, rec livetail.Record) {
	l := readLog(rec)
	o.str("serverId", src.Server)
	status, _ := l.attributes.Attribute(identity.AttrHealthStatus)
	o.bytes("status", status.Str)
	o.key("lastCheck")
	o.b = appendMillis(o.b, rec.UnixNano())
	o.open("details")
	for _, d := range [...]struct{ name, attribute string }{
		{"memoryUsageMb", identity.AttrMemoryUsageMB},
		{"cpuPercent", identity.AttrCPUPercent},
		{"uptime", identity.AttrUptime},
	} {
		if v, ok := l.attributes.Attribute(d.attribute); ok {
			if n, ok := v.Number(); ok {
				o.float(d.name, n)
			}
		}
	}
	o.close()
}

func appendStatus(o *object, rec livetail.Record, idName, id, attribute string) {
	l := readLog(rec)
	o.str(idName, id)
	status, _ := l.attributes.Attribute(attribute)
	o.bytes("status", status.Str)
	if attribute == identity.AttrBuildStatus {
		if l.body.Kind != livetail.KindEmpty {
			l.line(o, "message")
		}
		return
	}
	if url, ok := l.attributes.Attribute(livetail.AttrPublicURL); ok && url.Kind == livetail.KindString {
		o.optionalBytes("publicUrl", url.Str)
	}
}

var levels = [...]string{"trace", "debug", "info", "warn", "error", "fatal"}

// level is the level of a severity number, or what a severity text names, or empty.
func level(rec livetail.Record, text []byte) string {
	if n := rec.Severity(); n > 0 {
		return levels[min((n-1)/4, len(levels)-1)]
	}
	for _, l := range levels {
		if bytes.EqualFold(text, []byte(l)) {
			return l
		}
	}
	if bytes.EqualFold(text, []byte("warning")) {
		return "warn"
	}
	return ""
}

// classicLevel is one of debug, info, warn and error. A line of standard error without a severity of its own is a
// warning: much of what is written there is no error.
func classicLevel(rec livetail.Record, text []byte) string {
	switch l := level(rec, text); l {
	case "trace":
		return "debug"
	case "fatal":
		return "error"
	case "":
		if rec.Has(livetail.FlagStderr) {
			return "warn"
		}
		return "info"
	default:
		return l
	}
}
