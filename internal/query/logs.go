// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/identity"
)

// MaxLightBody is how many bytes the body of a log record has at most in a list.
const MaxLightBody = 8192

// Log is one log record. In lists Resource and Scope are left out.
type Log struct {
	Time           Time   `json:"time"`
	Project        string `json:"project"`
	Deployment     string `json:"deployment,omitempty"`
	Server         string `json:"server,omitempty"`
	Build          string `json:"build,omitempty"`
	Service        string `json:"service"`
	Severity       string `json:"severity"`
	SeverityNumber uint8  `json:"severityNumber"`
	SeverityText   string `json:"severityText,omitempty"`
	EventName      string `json:"eventName,omitempty"`
	// Body is the text, or the JSON of a structured one. In a list it has at most MaxLightBody bytes, and BodyBytes says
	// how many it really has.
	Body      string `json:"body"`
	BodyBytes uint64 `json:"bodyBytes,omitempty"`
	TraceID   string `json:"traceId,omitempty"`
	SpanID    string `json:"spanId,omitempty"`
	UID       string `json:"uid,omitempty"`
	// Attributes and Omitted are as those of a Span.
	Attributes map[string]string `json:"attributes"`
	Omitted    map[string]uint64 `json:"omitted,omitempty"`
	Resource   map[string]string `json:"resource,omitempty"`
	Scope      *Scope            `json:"scope,omitempty"`

	hash string
}

// Records without a uid are told apart by their content. That makes ClickHouse read the bodies before it sorts, so it is
// only done where there are such records: hashed says so.
const (
	noHash  = "''"
	logHash = "if(Uid = '', hex(sipHash64(Body, ServiceName, ServerId, TraceId, SpanId, SeverityNumber)), '')"
)

func logSource(hashed bool) source[Log] {
	hash := noHash
	if hashed {
		hash = logHash
	}
	return source[Log]{
		table: "otel_logs",
		time:  "Timestamp",
		keys:  []string{"Uid", hash, "ProjectId"},
		columns: func(s *statement, full bool) string {
			body := "Body"
			if !full {
				body = "substring(Body, 1, " + s.bind(uitoa(MaxLightBody), "UInt64") + ")"
			}
			c := identityColumns + ", Timestamp, TraceId, SpanId, SeverityNumber, SeverityText, EventName, " + body + ", length(Body), Uid, " + hash + ", " + light(s, "LogAttributes", full)
			if full {
				c += ", ResourceAttributes, ScopeName, ScopeVersion"
			}
			return c
		},
		where: func(s *statement, f *Filter) { f.logs(s) },
		scan:  scanLog,
	}
}

func scanLog(scan func(...any) error, full bool) (Log, position, int, error) {
	var r Log
	var scope Scope
	var t time.Time
	to := []any{&r.Project, &r.Deployment, &r.Server, &r.Build, &r.Service, &t, &r.TraceID, &r.SpanID, &r.SeverityNumber, &r.SeverityText,
		&r.EventName, &r.Body, &r.BodyBytes, &r.UID, &r.hash, &r.Attributes, &r.Omitted}
	if full {
		to = append(to, &r.Resource, &scope.Name, &scope.Version)
	}
	if err := scan(to...); err != nil {
		return r, position{}, 0, err
	}
	r.Time, r.Severity = Time{t}, severity(r.SeverityNumber)
	delete(r.Attributes, identity.AttrLogUID)
	if uint64(len(r.Body)) == r.BodyBytes {
		r.BodyBytes = 0
	} else {
		r.Body = strings.ToValidUTF8(r.Body, "") // a character may have been cut
	}
	if full && scope.Name != "" {
		r.Scope = &scope
	}
	return r, position{t.UnixNano(), []string{r.UID, r.hash, r.Project}}, len(r.Body) + sizeOf(r.Attributes) + sizeOf(r.Resource), nil
}

// Logs lists log records, the newest first; with Around, those before and after one.
func (q *Querier) Logs(ctx context.Context, caller *access.Caller, req Request) (Page[Log], error) {
	if req.Around != "" {
		return q.logsAround(ctx, caller, req)
	}
	page, err := q.logs(ctx, caller, req, false)
	if err == nil && slices.ContainsFunc(page.Data, func(r Log) bool { return r.UID == "" }) {
		page, err = q.logs(ctx, caller, req, true)
	}
	return page, err
}

func (q *Querier) logs(ctx context.Context, caller *access.Caller, req Request, hashed bool) (Page[Log], error) {
	w, err := newWalk(q, logSource(hashed), caller, req)
	if err != nil {
		return Page[Log]{}, err
	}
	if !hashed && w.at.keys != nil && w.at.keys[0] == "" {
		w.src = logSource(true)
	}
	w.ascending = req.walksUp()
	page, first, last, err := w.page(ctx, req.Limit)
	if err != nil {
		return page, err
	}
	if w.ascending != req.Ascending {
		slices.Reverse(page.Data)
	}
	if first.keys != nil {
		w.fit(first, last)
		page.PrevCursor, page.NextCursor = w.cursor(first), w.cursor(last)
	} else if req.cursor != "" { // nothing new yet: ask again from the same place
		page.NextCursor = req.cursor
	}
	return page, nil
}

// walksUp reports whether the rows are read from old to new.
func (r Request) walksUp() bool {
	switch r.side {
	case older:
		return false
	case newer:
		return true
	default:
		return r.Ascending
	}
}

// ExportLogs calls each for every log record that matches, in order, in memory that does not grow with their number.
func (q *Querier) ExportLogs(ctx context.Context, caller *access.Caller, req Request, each func(Log) error) error {
	// One without a uid anywhere decides for the whole export.
	s := newStatement()
	some, err := restrict(s, caller, req.Filter.Projects)
	if err != nil || !some {
		return err
	}
	req.Filter.within(s, "Timestamp")
	req.Filter.logs(s)
	s.where("Uid = ''")
	s.head, s.tail = "SELECT 1 FROM "+q.table("otel_logs"), "LIMIT 1"
	hashed := false
	if err := q.run(ctx, q.budget(), s, func(func(...any) error) error { hashed = true; return nil }); err != nil {
		return err
	}
	return export(ctx, q, logSource(hashed), caller, req, each)
}

// Log returns one log record in full.
func (q *Querier) Log(ctx context.Context, caller *access.Caller, uid string, req Request) (Log, error) {
	if err := checkValue("uid", uid); err != nil || uid == "" {
		return Log{}, ErrNotFound
	}
	// A ULID says when it was made, which is mostly close to the record's own time.
	ranges := []Filter{{Start: req.Filter.Start, End: req.Filter.End}}
	if id, err := ulid.ParseStrict(uid); err == nil && req.Filter.Start.IsZero() && req.Filter.End.IsZero() {
		made := id.Timestamp()
		ranges = append([]Filter{{Start: clampTime(made.Add(-time.Hour)), End: clampTime(made.Add(time.Hour))}}, ranges...)
	}
	b := q.budget()
	for _, f := range ranges {
		s := newStatement()
		some, err := restrict(s, caller, nil)
		if err != nil {
			return Log{}, err
		}
		if !some {
			break
		}
		f.within(s, "Timestamp")
		s.where("Uid = " + s.str(uid))
		src := logSource(false)
		s.head, s.tail = "SELECT "+src.columns(s, true)+"\nFROM "+q.table(src.table), "ORDER BY Timestamp DESC LIMIT 1"
		var found *Log
		if err := q.run(ctx, b, s, func(scan func(...any) error) error {
			r, _, _, err := scanLog(scan, true)
			found = &r
			return err
		}); err != nil {
			return Log{}, err
		}
		if found != nil {
			return *found, nil
		}
	}
	return Log{}, ErrNotFound
}

// logsAround returns a record with its neighbours from the same server, build or service: half of the page older,
// half newer. The filter chooses among the neighbours.
func (q *Querier) logsAround(ctx context.Context, caller *access.Caller, req Request) (Page[Log], error) {
	anchor, err := q.Log(ctx, caller, req.Around, Request{})
	if err != nil {
		return Page[Log]{}, err
	}
	scope := []string{"service", anchor.Service, anchor.Project}
	switch {
	case anchor.Server != "":
		scope[0], scope[1] = "server", anchor.Server
	case anchor.Build != "":
		scope[0], scope[1] = "build", anchor.Build
	}
	side := func(side direction, limit int) (Page[Log], error) {
		r := req
		r.side, r.Around, r.Limit = side, "", limit
		r.cursor = cursor{hash: r.hash, start: r.Filter.Start, end: r.Filter.End, width: firstSlice, scope: scope,
			at: position{anchor.Time.UnixNano(), []string{anchor.UID, "", anchor.Project}}}.String()
		return q.Logs(ctx, caller, r)
	}
	before, err := side(older, max(1, req.Limit/2))
	if err != nil {
		return before, err
	}
	after, err := side(newer, max(1, (req.Limit-1)/2))
	if err != nil {
		return after, err
	}
	if !req.Full {
		anchor.lighten()
	}
	page := Page[Log]{HasMore: before.HasMore, NextCursor: before.NextCursor, PrevCursor: after.NextCursor}
	if req.Ascending {
		page.Data = slices.Concat(before.Data, []Log{anchor}, after.Data)
	} else {
		page.Data = slices.Concat(after.Data, []Log{anchor}, before.Data)
	}
	return page, nil
}

// lighten makes of a record in full what a list has.
func (r *Log) lighten() {
	r.Resource, r.Scope = nil, nil
	if len(r.Body) > MaxLightBody {
		r.BodyBytes, r.Body = uint64(len(r.Body)), strings.ToValidUTF8(r.Body[:MaxLightBody], "")
	}
	for k, v := range r.Attributes {
		if len(v) > MaxLightValue {
			if r.Omitted == nil {
				r.Omitted = map[string]uint64{}
			}
			r.Omitted[k] = uint64(len(v))
			delete(r.Attributes, k)
		}
	}
}

// Lines lists the log records of one server or build.
func (q *Querier) Lines(ctx context.Context, caller *access.Caller, req Request) (Page[Log], error) {
	return q.Logs(ctx, caller, req)
}

// OfServer and OfBuild restrict a request to one server or build; its cursors are bound to that.
func (r Request) OfServer(id string) Request {
	r.Filter.Servers = []string{id}
	return r.of("server", id)
}

// OfBuild is the same for a build.
func (r Request) OfBuild(id string) Request {
	r.Filter.Builds = []string{id}
	return r.of("build", id)
}

func (r Request) of(what, id string) Request {
	r.hash = hashOf(r.Kind, map[string][]string{"of": {what, id, hex.EncodeToString(r.hash[:])}})
	return r
}
