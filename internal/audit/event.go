// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Names of events.
const (
	Login   = "tailrace.audit.login"
	Logout  = "tailrace.audit.logout"
	Refusal = "tailrace.audit.refusal"
	Export  = "tailrace.audit.export"
	PutBack = "tailrace.audit.put_back"
	// TailStart and TailEnd are of a connection to the live tail whose caller is known.
	TailStart = "tailrace.audit.tail_start"
	TailEnd   = "tailrace.audit.tail_end"
)

// Outcomes.
const (
	Success = "success"
	Refused = "refused"
	Failed  = "failed"
)

// maxText bounds what a client sent and an event repeats.
const maxText = 512

// Event is one thing that somebody did, or was not let do. It never holds a credential.
type Event struct {
	Time time.Time
	// UID is the record's, the same at each offer; Add gives it.
	UID string
	// Name is one of the names above.
	Name    string
	Outcome string
	// Reason says why it was refused or failed: a word such as credential, csrf, project, host.
	Reason string
	// Subject is the caller. For a login that was refused it is what was claimed, and nobody has proven it.
	Subject string
	// Method is how the caller showed who it is.
	Method string
	// Client is the address that the request came from.
	Client string
	// Request: method, path and query, without what could be a credential.
	HTTPMethod, Path, Query string
	Status                  int
	// Object is what was acted upon: the file that was put back.
	Object string
	// Bytes and Duration of an export; Duration of a connection to the live tail that ended.
	Bytes    int64
	Duration time.Duration
	// Count is how many refusals alike the record stands for: this one, and those since the last record of them.
	Count int
}

// Text is the event in words.
func (e *Event) Text() string {
	who := e.Subject
	if who == "" {
		who = "somebody"
	}
	from := ""
	if e.Client != "" {
		from = " from " + e.Client
	}
	var text string
	switch {
	case e.Name == Login && e.Outcome == Success:
		text = fmt.Sprintf("%s logged in%s", who, from)
	case e.Name == Login:
		text = fmt.Sprintf("login as %s%s was refused: %s", who, from, e.Reason)
	case e.Name == Logout:
		text = fmt.Sprintf("%s logged out%s", who, from)
	case e.Name == Export:
		text = fmt.Sprintf("%s exported %d bytes of %s%s", who, e.Bytes, e.Path, from)
		if e.Outcome != Success {
			text += ", " + e.Outcome
		}
	case e.Name == TailStart:
		text = fmt.Sprintf("%s opened the live tail %s%s", who, e.Path, from)
	case e.Name == TailEnd:
		text = fmt.Sprintf("%s closed the live tail %s%s after %s", who, e.Path, from, e.Duration.Round(time.Millisecond))
	case e.Name == PutBack:
		text = fmt.Sprintf("%s put %s back%s", who, e.Object, from)
		if e.Outcome != Success {
			text += ", " + e.Outcome
		}
	default:
		text = fmt.Sprintf("%s %s by %s%s was refused: %s", e.HTTPMethod, e.Path, who, from, e.Reason)
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	return text
}

// clean makes what clients sent harmless for whoever reads it in a terminal, and short.
func (e *Event) clean() {
	for _, s := range []*string{&e.Subject, &e.Client, &e.HTTPMethod, &e.Path, &e.Query, &e.Object} {
		*s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return unicode.ReplacementChar
			}
			return r
		}, strings.ToValidUTF8(*s, "\uFFFD"))
		if len(*s) > maxText {
			*s = strings.ToValidUTF8((*s)[:maxText], "") + "…"
		}
	}
}

// Recorder is what a console offers to components whose doings belong into the audit. It does not wait.
type Recorder interface {
	RecordAudit(e Event)
}

// Query is the query of a request without values that could be credentials.
func Query(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	values := u.Query()
	for name := range values {
		lower := strings.ToLower(name)
		for _, word := range []string{"token", "password", "secret", "key", "auth", "credential"} {
			if strings.Contains(lower, word) {
				values[name] = []string{"…"}
			}
		}
	}
	return values.Encode()
}

// Sink takes events into a pipeline.
type Sink interface {
	// Deliver returns when the events are accepted, or refused for good, which is its to tell. It waits, and tries again, for as long as
	// the pipeline can't take them; the error is that of ctx then. It does not keep the slice.
	Deliver(ctx context.Context, events []Event) error
}

// Source is what a console offers to the receiver that takes its events.
type Source interface {
	// AttachAudit begins to deliver to sink, one batch after the other. detach ends that: when it has returned, no Deliver runs; what was not
	// accepted waits for the next sink. It may be called more than once.
	AttachAudit(sink Sink) (detach func(), err error)
	// AuditProject is the project of the records.
	AuditProject() string
}

// ErrAttached is the error of AttachAudit while there is a sink.
var ErrAttached = errors.New("its audit is read by another receiver already")
