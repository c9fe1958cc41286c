// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/frame"
	"github.com/tailrace/tailrace/internal/livetail/recordjson"
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
	o := recordjson.Object{B: dst}
	switch form {
	case formServerLog:
		frame.Begin(&o, "server:log")
		appendServerLog(&o, src, rec)
	case formServerHealth:
		frame.Begin(&o, "server:health")
		appendServerHealth(&o, src, rec)
	case formBuildLog:
		frame.Begin(&o, "build:log")
		appendBuildLog(&o, src, rec)
	case formBuildStatus:
		frame.Begin(&o, "build:status")
		appendStatus(&o, rec, "buildId", src.Build, identity.AttrBuildStatus)
	case formDeploymentStatus:
		frame.Begin(&o, "deployment:status")
		appendStatus(&o, rec, "deploymentId", src.Deployment, identity.AttrDeploymentStatus)
	default:
		frame.Begin(&o, typeOf(rec))
		recordjson.AppendMembers(&o, &src, rec)
	}
	return append(o.B, '}', '}')
}

// typeOf is the type of the message that shows a record in its general form.
func typeOf(rec livetail.Record) string {
	switch {
	case rec.Signal() == livetail.SignalMetric:
		return "metric"
	case rec.Signal() == livetail.SignalScore:
		return "score"
	case rec.Signal() == livetail.SignalLog:
		return "log"
	case rec.Has(livetail.FlagOpen):
		return "span:started"
	default:
		return "span:ended"
	}
}

func appendServerLog(o *recordjson.Object, src livetail.Source, rec livetail.Record) {
	l := recordjson.ReadLog(rec)
	o.Str("serverId", src.Server)
	if state, ok := l.Attributes.Attribute(identity.AttrLifecycleState); ok && l.Body.Kind == livetail.KindEmpty {
		o.Str("line", identity.EventServerLifecycle+": "+string(state.Str))
	} else {
		l.Line(o, "line")
	}
	o.Key("timestamp")
	o.B = recordjson.AppendMillis(o.B, rec.UnixNano())
	stream := "stdout"
	if rec.Has(livetail.FlagStderr) {
		stream = "stderr"
	}
	o.Str("stream", stream)
	o.OptionalBytes("id", l.UID)
}

func appendBuildLog(o *recordjson.Object, src livetail.Source, rec livetail.Record) {
	l := recordjson.ReadLog(rec)
	o.Str("buildId", src.Build)
	l.Line(o, "line")
	o.Key("timestamp")
	o.B = recordjson.AppendMillis(o.B, rec.UnixNano())
	o.Str("level", classicLevel(rec, l.Severity))
}

func appendServerHealth(o *recordjson.Object, src livetail.Source, rec livetail.Record) {
	l := recordjson.ReadLog(rec)
	o.Str("serverId", src.Server)
	status, _ := l.Attributes.Attribute(identity.AttrHealthStatus)
	o.Bytes("status", status.Str)
	o.Key("lastCheck")
	o.B = recordjson.AppendMillis(o.B, rec.UnixNano())
	o.Open("details")
	for _, d := range [...]struct{ name, attribute string }{
		{"memoryUsageMb", identity.AttrMemoryUsageMB},
		{"cpuPercent", identity.AttrCPUPercent},
		{"uptime", identity.AttrUptime},
	} {
		if v, ok := l.Attributes.Attribute(d.attribute); ok {
			if n, ok := v.Number(); ok {
				o.Float(d.name, n)
			}
		}
	}
	o.Close()
}

func appendStatus(o *recordjson.Object, rec livetail.Record, idName, id, attribute string) {
	l := recordjson.ReadLog(rec)
	o.Str(idName, id)
	status, _ := l.Attributes.Attribute(attribute)
	o.Bytes("status", status.Str)
	if attribute == identity.AttrBuildStatus {
		if l.Body.Kind != livetail.KindEmpty {
			l.Line(o, "message")
		}
		return
	}
	if url, ok := l.Attributes.Attribute(livetail.AttrPublicURL); ok && url.Kind == livetail.KindString {
		o.OptionalBytes("publicUrl", url.Str)
	}
}

// classicLevel is one of debug, info, warn and error. A line of standard error without a severity of its own is a
// warning: much of what is written there is no error.
func classicLevel(rec livetail.Record, text []byte) string {
	switch l := recordjson.Level(rec, text); l {
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
