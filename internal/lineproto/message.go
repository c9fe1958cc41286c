// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// Bounds of the protocol.
const (
	// DefaultMaxLineBytes is how long a line may be before it comes in parts, unless the server says otherwise.
	DefaultMaxLineBytes = 256 << 10
	// maxHelloBytes bounds the first message of a connection: nobody has proved anything yet.
	maxHelloBytes = 64 << 10
	// maxSeq keeps a number within its bits of a uid.
	maxSeq = 1<<38 - 1
)

// Types of messages.
const (
	typeHello   = "hello"
	typeWelcome = "welcome"
	typeLine    = "line"
	typeEvent   = "event"
	typeAck     = "ack"
	typeError   = "error"
	typeAlive   = "alive"
)

// Codes of errors. Those of the second group end the connection.
const (
	CodeBadMessage  = "bad_message"
	CodeBadLine     = "bad_line"
	CodeLineTooLong = "line_too_long"

	CodeBadHello        = "bad_hello"
	CodeVersion         = "unsupported_version"
	CodeUnauthorized    = "unauthorized"
	CodeTooMany         = "too_many_connections"
	CodeHelloTimeout    = "hello_timeout"
	CodeIdle            = "idle_timeout"
	CodeReplaced        = "replaced"
	CodeShuttingDown    = "shutting_down"
	CodeIdentityChanged = "identity_changed"
)

// Names of events.
const (
	EventStarting  = "starting"
	EventRunning   = "running"
	EventExited    = "exited"
	EventFailed    = "failed"
	EventBuilding  = "building"
	EventDeploying = "deploying"
	EventSucceeded = "succeeded"
	EventCancelled = "cancelled"
	// EventLost says that nobody knows how the command ended: its runner was killed.
	EventLost = "lost"
)

// final tells the events behind which nothing comes.
func final(event string) bool {
	switch event {
	case EventExited, EventFailed, EventSucceeded, EventCancelled, EventLost:
		return true
	}
	return false
}

func knownEvent(event string) bool {
	switch event {
	case EventStarting, EventRunning, EventBuilding, EventDeploying:
		return true
	}
	return final(event)
}

// Hello opens a connection: who runs what. It is the same for all connections of a run but for Token, Acked, PID and Over.
type Hello struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	// Token is needed over TCP.
	Token string `json:"token,omitempty"`
	// Run is a ULID, new for each run of a command.
	Run        string `json:"run"`
	Project    string `json:"project,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	// Server or Build is set, not both.
	Server  string            `json:"server,omitempty"`
	Build   string            `json:"build,omitempty"`
	Service string            `json:"service,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Command []string          `json:"command,omitempty"`
	// PID is that of the command, 0 before it was started.
	PID int `json:"pid,omitempty"`
	// Acked is the highest number that a server acknowledged.
	Acked uint64 `json:"acked,omitempty"`
	// Over says that the runner has ended, and only what it left is sent.
	Over bool `json:"over,omitempty"`
	// OTLPToken is a secret that the client made, of 32 hex digits: the server lets it stand for the identity of this run
	// in OTLP requests, if it can. It stays the same when the server is another one, because the command has it already.
	OTLPToken string `json:"otlp_token,omitempty"`
}

func (h *Hello) check() error {
	switch {
	case !validULID(h.Run):
		return fmt.Errorf("run: must be a ULID, is %q", short(h.Run))
	case h.Server == "" && h.Build == "":
		return errors.New("server or build must be given")
	case h.Server != "" && h.Build != "":
		return errors.New("server and build must not both be given")
	case h.OTLPToken != "" && !validToken(h.OTLPToken):
		return errors.New("otlp_token: must be 32 hex digits")
	case h.Acked > maxSeq:
		return errors.New("acked: is too large")
	case len(h.Labels) > 64:
		return errors.New("labels: at most 64")
	}
	return nil
}

// identity says what a run belongs to, to notice a second run under the same ULID.
func (h *Hello) identity() [4]string { return [4]string{h.Project, h.Deployment, h.Server, h.Build} }

// Welcome is the answer to Hello.
type Welcome struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	// Resume is the number behind which lines are expected.
	Resume       uint64 `json:"resume"`
	MaxLineBytes int    `json:"max_line_bytes"`
	// KeepAlive is in seconds: whoever has sent nothing for that long sends alive.
	KeepAlive float64 `json:"keep_alive_s"`
	// OTLP says where the command sends its own telemetry; nil: not known.
	OTLP *OTLP `json:"otlp,omitempty"`
}

// OTLP is where and how to send telemetry.
type OTLP struct {
	Endpoint string            `json:"endpoint"`
	Protocol string            `json:"protocol,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
}

// Error is what the server has to say about a message.
type Error struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Seq     uint64 `json:"seq,omitempty"`
	// Fatal says that the server closes the connection.
	Fatal bool `json:"fatal,omitempty"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Stream says where a line was printed.
type Stream uint8

// The streams of a command.
const (
	Stdout Stream = iota + 1
	Stderr
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Kind says what an Item is.
type Kind uint8

// The kinds of items. Gap, Lost and Back are made by the server.
const (
	KindLine Kind = iota + 1
	KindEvent
	// KindGap stands for Missing lines that the client lost; its Seq is that of the last one.
	KindGap
	// KindLost: the connection of the run has been gone for long, and its end was not told. Seq is 0.
	KindLost
	// KindBack: the run was lost and is connected again. Seq is 0.
	KindBack
)

// Item is a line, a part of an over-long one, or a change of state. Text is valid UTF-8.
type Item struct {
	Seq      uint64
	Time     time.Time
	Kind     Kind
	Stream   Stream
	Part     int // from 1 for the parts of an over-long line
	Last     bool
	Repaired bool // invalid UTF-8 was replaced
	Text     string
	Event    Event
	Missing  uint64
}

// Event is a change of state of a command.
type Event struct {
	Name   string
	PID    int
	Code   int // -1 after a signal
	Signal string
	Reason string
	Uptime time.Duration
}

// itemOverhead is what an item costs beside its text.
const itemOverhead = 192

func (i *Item) cost() int { return len(i.Text) + len(i.Event.Reason) + itemOverhead }

// message is any message of a client behind its hello.
type message struct {
	Type     string  `json:"type"`
	Seq      uint64  `json:"seq"`
	Time     string  `json:"time"`
	Stream   string  `json:"stream"`
	Text     *string `json:"text"`
	Base64   *string `json:"base64"`
	Part     int     `json:"part"`
	Last     bool    `json:"last"`
	Event    string  `json:"event"`
	PID      int     `json:"pid"`
	Code     int     `json:"code"`
	Signal   string  `json:"signal"`
	Reason   string  `json:"reason"`
	UptimeMS int64   `json:"uptime_ms"`
}

// parse reads a message of a client. A nil item without an error is a message without content. On an error seq is that of
// the message, if it could be read.
func parse(b []byte, maxLine int) (item *Item, seq uint64, e *Error) {
	valid := utf8.Valid(b) // encoding/json repairs silently
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, 0, &Error{Code: CodeBadMessage, Message: "not a JSON object with the expected members: " + err.Error()}
	}
	switch m.Type {
	case typeAlive:
		return nil, 0, nil
	case typeLine, typeEvent:
	default:
		return nil, 0, &Error{Code: CodeBadMessage, Message: fmt.Sprintf("unknown type %q", short(m.Type))}
	}
	if m.Seq == 0 || m.Seq > maxSeq {
		return nil, 0, &Error{Code: CodeBadLine, Message: "seq: must be from 1 to 2^38-1"}
	}
	bad := func(format string, args ...any) (*Item, uint64, *Error) {
		return nil, m.Seq, &Error{Code: CodeBadLine, Message: fmt.Sprintf(format, args...), Seq: m.Seq}
	}
	ns, err := strconv.ParseInt(m.Time, 10, 64)
	if err != nil || ns < 0 {
		return bad("time: must be nanoseconds since 1970 as a string, is %q", short(m.Time))
	}
	item = &Item{Seq: m.Seq, Time: time.Unix(0, ns)}
	if m.Type == typeEvent {
		if !knownEvent(m.Event) {
			return bad("event: %q is unknown", short(m.Event))
		}
		item.Kind = KindEvent
		item.Event = Event{
			Name: m.Event, PID: m.PID, Code: m.Code, Signal: m.Signal, Reason: m.Reason,
			Uptime: time.Duration(m.UptimeMS) * time.Millisecond,
		}
		return item, m.Seq, nil
	}
	item.Kind, item.Part, item.Last, item.Repaired = KindLine, m.Part, m.Last, !valid
	switch m.Stream {
	case "stdout":
		item.Stream = Stdout
	case "stderr":
		item.Stream = Stderr
	default:
		return bad("stream: must be stdout or stderr, is %q", short(m.Stream))
	}
	switch {
	case m.Part < 0, m.Last && m.Part == 0:
		return bad("part: must be from 1 where last is true, is %d", m.Part)
	case m.Text != nil && m.Base64 != nil, m.Text == nil && m.Base64 == nil:
		return bad("text or base64 must be given, not both")
	case m.Text != nil:
		item.Text = *m.Text
	default:
		raw, err := base64.StdEncoding.DecodeString(*m.Base64)
		if err != nil {
			return bad("base64: %v", err)
		}
		item.Text = string(raw)
		if !utf8.ValidString(item.Text) {
			item.Text, item.Repaired = strings.ToValidUTF8(item.Text, "\uFFFD"), true
		}
	}
	if len(item.Text) > maxLine {
		// Its head is kept: as the only part of a line that is known to be cut.
		item.Text = strings.ToValidUTF8(item.Text[:maxLine], "")
		item.Part, item.Last = max(item.Part, 1), true
		return item, m.Seq, &Error{Code: CodeLineTooLong, Message: fmt.Sprintf("longer than %d bytes, cut", maxLine), Seq: m.Seq}
	}
	return item, m.Seq, nil
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func validULID(s string) bool {
	if len(s) != 26 || s[0] > '7' {
		return false
	}
	for _, c := range []byte(s) {
		if strings.IndexByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c) < 0 {
			return false
		}
	}
	return true
}

func validToken(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
