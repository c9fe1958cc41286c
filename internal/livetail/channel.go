// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ChannelKind is the part of a channel's name before the colon.
type ChannelKind uint8

// Kinds of channel; the narrow ones come first.
const (
	ChannelServer ChannelKind = iota + 1
	ChannelBuild
	ChannelDeployment
	ChannelTrace
	ChannelLogs
	ChannelSpans
	ChannelMetrics
	ChannelScores
	ChannelProject
	ChannelAll
)

var channelPrefixes = map[string]ChannelKind{
	"server": ChannelServer, "build": ChannelBuild, "deployment": ChannelDeployment, "trace": ChannelTrace,
	"logs": ChannelLogs, "spans": ChannelSpans, "metrics": ChannelMetrics, "scores": ChannelScores,
	"project": ChannelProject,
}

// MaxChannelID is the longest id of a channel, in bytes.
const MaxChannelID = 4096

// ErrInvalidChannel is what every error of ParseChannel wraps.
var ErrInvalidChannel = errors.New("invalid channel")

// Channel is a parsed channel name. Comparable; two spellings of one trace id are equal.
type Channel struct {
	Kind  ChannelKind
	ID    string   // empty for ChannelAll and ChannelTrace
	Trace [16]byte // ChannelTrace
}

// ParseChannel reads a name such as server:web-1, trace:<32 hex digits, dashes allowed> or *. project:* is *.
// The server, build or project need not exist.
func ParseChannel(name string) (Channel, error) {
	if name == "*" || name == "project:*" {
		return Channel{Kind: ChannelAll}, nil
	}
	prefix, id, ok := strings.Cut(name, ":")
	kind := channelPrefixes[prefix]
	switch {
	case !ok || kind == 0:
		return Channel{}, fmt.Errorf("%w: expected server:, build:, deployment:, project:, trace:, logs:, spans:, "+
			"metrics: or scores: and an id, or *", ErrInvalidChannel)
	case id == "":
		return Channel{}, fmt.Errorf("%w: %s: needs an id", ErrInvalidChannel, prefix)
	case len(id) > MaxChannelID:
		return Channel{}, fmt.Errorf("%w: the id has %d bytes, at most %d are allowed", ErrInvalidChannel, len(id), MaxChannelID)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return Channel{}, fmt.Errorf("%w: the id contains control characters or invalid UTF-8", ErrInvalidChannel)
	}
	if kind != ChannelTrace {
		return Channel{Kind: kind, ID: id}, nil
	}
	digits := strings.ReplaceAll(id, "-", "")
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 16 {
		return Channel{}, fmt.Errorf("%w: a trace id has 32 hexadecimal digits", ErrInvalidChannel)
	}
	return Channel{Kind: kind, Trace: [16]byte(raw)}, nil
}

// Project is the project of a channel that has only one, and whether it has.
func (c Channel) Project() (id string, ok bool) {
	switch c.Kind {
	case ChannelProject, ChannelLogs, ChannelSpans, ChannelMetrics, ChannelScores:
		return c.ID, true
	default:
		return "", false
	}
}

// has reports whether records of src can be in the channel. For a trace that is decided by the record.
func (c Channel) has(src Source) bool {
	switch c.Kind {
	case ChannelServer:
		return src.Server == c.ID || src.elsewhere
	case ChannelBuild:
		return src.Build == c.ID || src.elsewhere
	case ChannelDeployment:
		return src.Deployment == c.ID || src.elsewhere
	case ChannelProject:
		return src.Project == c.ID
	case ChannelLogs:
		return src.Signal == SignalLog && src.Project == c.ID
	case ChannelSpans:
		return src.Signal == SignalSpan && src.Project == c.ID
	case ChannelMetrics:
		return src.Signal == SignalMetric && src.Project == c.ID
	case ChannelScores:
		return src.Signal == SignalScore && src.Project == c.ID
	case ChannelTrace:
		return src.Signal != SignalMetric
	case ChannelAll:
		return true
	default:
		return false
	}
}

// hasRecord reports whether rec of src is in the channel.
func (c Channel) hasRecord(src Source, rec Record) bool {
	return c.has(src) && (c.Kind != ChannelTrace || rec.TraceID() == c.Trace)
}

// channel is a Channel that somebody subscribed to.
type channel struct {
	Channel
	// views is replaced, never changed in place: the dispatcher reads it without the lock. Guarded by Hub.mu.
	views []*view

	// What follows belongs to the dispatcher, for one cycle.
	entries []int32 // indexes of the cycle's records that are in the channel
	snap    []*view
}

// staticChannels appends the subscribed channels that every record of src is in.
func (h *Hub) staticChannels(dst []*channel, src Source) []*channel {
	add := func(kind ChannelKind, id string) {
		if id == "" && kind != ChannelAll {
			return
		}
		if c := h.channels[Channel{Kind: kind, ID: id}]; c != nil {
			dst = append(dst, c)
		}
	}
	add(ChannelServer, src.Server)
	add(ChannelBuild, src.Build)
	add(ChannelDeployment, src.Deployment)
	switch src.Signal {
	case SignalLog:
		add(ChannelLogs, src.Project)
	case SignalSpan:
		add(ChannelSpans, src.Project)
	case SignalMetric:
		add(ChannelMetrics, src.Project)
	case SignalScore:
		add(ChannelScores, src.Project)
	}
	add(ChannelProject, src.Project)
	add(ChannelAll, "")
	return dst
}
