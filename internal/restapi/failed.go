// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/query"
)

// FailedSource knows the files that were set aside in failed/; pipelinestatus.Registry is one. Errors are those of pipelinestatus.FailedFiles.
type FailedSource interface {
	FailedFiles(ctx context.Context) ([]pipelinestatus.FailedFile, error)
	FailedReasons(ctx context.Context, id, file string, most int) ([]pipelinestatus.FailedReason, int, error)
	PutBack(ctx context.Context, id, file string) error
}

const (
	// reasonsShown bounds the reasons of a file in the list; the file beside it has all.
	reasonsShown = 10
	// maxPutBackBytes bounds the body of a request.
	maxPutBackBytes = 16 << 10
	// putBackWait is how long a batch that is on its way may hold up putting back.
	putBackWait = 10 * time.Second
	putBackPath = "/pipeline/failed/put-back"
)

// FailedFile is a file in failed/.
type FailedFile struct {
	// ID is that of the component which set it aside, "clickhouse_ingest"; with File it names the file.
	ID   string `json:"id"`
	File string `json:"file"`
	// Kind is file for a whole segment, lines for what was cut out of one.
	Kind    string `json:"kind"`
	Signal  string `json:"signal"`
	Type    string `json:"type"`
	Project string `json:"project"`
	// Segment is the id of the segment that it was, or was a part of.
	Segment string `json:"segment"`
	// Bytes is 0 when there was nothing to keep, and so is nothing to be put back.
	Bytes int64 `json:"bytes"`
	// Time is when it was set aside.
	Time query.Time `json:"time"`
	// Reasons are the first ones, ReasonCount is how many there are.
	Reasons     []FailedReason `json:"reasons"`
	ReasonCount int            `json:"reasonCount"`
	// MayPutBack says whether the caller may.
	MayPutBack bool `json:"mayPutBack"`
}

// FailedReason is why a line, a record or a file was set aside.
type FailedReason struct {
	Line   int    `json:"line,omitempty"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
	Token  string `json:"token,omitempty"`
}

// visible and operable decide about a file by its project; whose it is must be sure, or the caller one for every project.
func visible(c *access.Caller, f pipelinestatus.FailedFile) bool {
	return f.Sure && c.MayRead(f.Project) || slices.Contains(c.Readable(), access.All)
}

func operable(c *access.Caller, f pipelinestatus.FailedFile) bool {
	return f.Sure && c.MayOperate(f.Project) || slices.Contains(c.Operable(), access.All)
}

var errNoPipeline = &problem{Type: "no-pipeline", Title: "Not known", Status: http.StatusServiceUnavailable, Detail: "this server does not know the pipeline"}

// failedFiles are those that the caller may see, the newest first.
func (a *api) failedFiles(ctx context.Context, caller *access.Caller) ([]pipelinestatus.FailedFile, error) {
	if a.Failed == nil {
		return nil, errNoPipeline
	}
	all, err := a.Failed.FailedFiles(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(f pipelinestatus.FailedFile) bool { return !visible(caller, f) })
	slices.SortFunc(all, func(x, y pipelinestatus.FailedFile) int { return byTime(keysetOf(x), keysetOf(y)) })
	return all, nil
}

func keysetOf(f pipelinestatus.FailedFile) query.Keyset {
	return query.Keyset{Time: f.Time, Key: f.ID + "\x00" + f.File}
}

// byTime has the newest first.
func byTime(x, y query.Keyset) int {
	return cmp.Or(y.Time.Compare(x.Time), cmp.Compare(x.Key, y.Key))
}

// failed answers GET /pipeline/failed.
func (a *api) failed(c *call) (any, error) {
	if len(c.caller.Readable()) == 0 {
		return nil, access.ErrForbidden
	}
	if err := c.req.MayRead(c.caller); err != nil {
		return nil, err
	}
	after, has, err := c.req.After()
	if err != nil {
		return nil, err
	}
	all, err := a.failedFiles(c.ctx, c.caller)
	if err != nil {
		return nil, err
	}
	page := query.Page[FailedFile]{Data: []FailedFile{}}
	filter := c.req.Filter
	var last query.Keyset
	for _, f := range all {
		switch at := keysetOf(f); {
		case has && byTime(at, after) <= 0,
			len(filter.Projects) > 0 && (!f.Sure || !slices.Contains(filter.Projects, f.Project)),
			len(filter.Signals) > 0 && !slices.Contains(filter.Signals, f.Signal):
			continue
		case len(page.Data) == c.req.Limit:
			page.HasMore, page.NextCursor = true, c.req.Cursor(last)
			return page, nil
		default:
			last = at
		}
		row, err := a.failedFile(c, f)
		if err != nil {
			return nil, err
		}
		page.Data = append(page.Data, row)
	}
	return page, nil
}

func (a *api) failedFile(c *call, f pipelinestatus.FailedFile) (FailedFile, error) {
	out := FailedFile{
		ID: f.ID, File: f.File, Kind: "lines", Signal: f.Signal, Type: f.Type, Project: f.Project, Segment: f.Segment, Bytes: f.Bytes,
		Time: query.Time{Time: f.Time.UTC()}, Reasons: []FailedReason{}, MayPutBack: f.Bytes > 0 && operable(c.caller, f),
	}
	if f.Whole {
		out.Kind = "file"
	}
	reasons, n, err := a.Failed.FailedReasons(c.ctx, f.ID, f.File, reasonsShown)
	if err != nil && !errors.Is(err, pipelinestatus.ErrNoFailedFile) { // put back meanwhile
		return out, err
	}
	for _, r := range reasons {
		out.Reasons = append(out.Reasons, FailedReason{Line: r.Line, From: r.From, To: r.To, Class: r.Kind, Reason: r.Reason, Token: r.Token})
	}
	out.ReasonCount = n
	return out, nil
}

// putBackRequest is the body of POST /pipeline/failed/put-back.
type putBackRequest struct {
	File string `json:"file"`
	// ID is only needed when two components have set aside a file of this name.
	ID string `json:"id"`
}

// putBackAnswer is what was done.
type putBackAnswer struct {
	ID   string `json:"id"`
	File string `json:"file"`
}

func (a *api) putBack(w http.ResponseWriter, r *http.Request, caller *access.Caller) {
	f, err := a.tryPutBack(r, caller)
	if f.File != "" && a.WasPutBack != nil {
		status := http.StatusOK
		if err != nil {
			status = problemOf(err).Status
		}
		a.WasPutBack(r, f, status)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = encode(w, item{putBackAnswer{f.ID, f.File}})
}

// tryPutBack returns the file as far as the caller may know that it is there.
func (a *api) tryPutBack(r *http.Request, caller *access.Caller) (f pipelinestatus.FailedFile, err error) {
	// A form of another site can't send this type.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return f, &problem{Type: "media-type", Title: "Unsupported media type", Status: http.StatusUnsupportedMediaType, Detail: "send Content-Type: application/json"}
	}
	var asked putBackRequest
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxPutBackBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&asked); err != nil || asked.File == "" || d.More() {
		return f, &problem{Type: "body", Title: "The body is wrong", Status: http.StatusBadRequest, Detail: `send {"file": …} with the file of GET ` + Prefix + `/pipeline/failed; with "id" when several components have it`}
	}
	// Only what is listed can be named, so no path leads anywhere else.
	all, err := a.failedFiles(r.Context(), caller)
	if err != nil {
		return f, err
	}
	all = slices.DeleteFunc(all, func(f pipelinestatus.FailedFile) bool {
		return f.File != asked.File || asked.ID != "" && f.ID != asked.ID
	})
	switch {
	case len(all) == 0:
		return f, pipelinestatus.ErrNoFailedFile
	case len(all) > 1:
		var ids []string
		for _, f := range all {
			ids = append(ids, f.ID)
		}
		return f, &problem{Type: "conflict", Title: "Not put back", Status: http.StatusConflict, Detail: "several components have this file; send one of these as id: " + strings.Join(ids, ", ")}
	case !operable(caller, all[0]):
		return all[0], &problem{Type: "forbidden", Title: "Not allowed", Status: http.StatusForbidden, Detail: "only an operator of the project may put its files back"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), putBackWait)
	defer cancel()
	return all[0], a.Failed.PutBack(ctx, all[0].ID, all[0].File)
}

// putBackProblem says what a client gets to know; nil: err is none of these.
func putBackProblem(err error) *problem {
	var refused *pipelinestatus.PutBackError
	switch {
	case errors.Is(err, pipelinestatus.ErrNoFailedFile):
		return &problem{Type: "not-found", Title: "Not found", Status: http.StatusNotFound, Detail: "there is no such file in failed/ among what you may see; it may have been put back"}
	case errors.As(err, &refused) && refused.Later:
		return &problem{Type: "later", Title: "Not now", Status: http.StatusServiceUnavailable, Detail: refused.Reason}
	case errors.As(err, &refused):
		return &problem{Type: "conflict", Title: "Not put back", Status: http.StatusConflict, Detail: refused.Reason}
	}
	return nil
}
