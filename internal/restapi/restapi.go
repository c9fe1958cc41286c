// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/query"
)

// Prefix is where the handler's routes are.
const Prefix = "/api/v1"

// Options of the handler.
type Options struct {
	// Store is where the data is; required.
	Store query.Store
	// Logger gets what is not told to clients: faults, with their cause. nil: nobody.
	Logger *zap.Logger
	// Pipeline answers GET /api/v1/pipeline; nil: 503.
	Pipeline PipelineSource
	// Failed answers GET /api/v1/pipeline/failed, and puts files back; nil: 503.
	Failed FailedSource
	// WasPutBack, when set, is told of each attempt to put a file back that the caller may see, with the status of the answer.
	WasPutBack func(r *http.Request, f pipelinestatus.FailedFile, status int)
	// Limits of queries.
	Limits query.Limits
	// Exports is how many NDJSON exports run at the same time (4).
	Exports int
	// WriteTimeout is how long a client may take for a piece of an answer (1 min). It replaces the server's, which would end a
	// long export.
	WriteTimeout time.Duration
	// ExtraPaths are path items of the OpenAPI document for routes that others serve under the same prefix, by path.
	ExtraPaths map[string]any
}

// api is the handler.
type api struct {
	Options
	querier *query.Querier
	exports chan struct{}
	now     func() time.Time
	openapi []byte
}

// route is one thing that can be asked. Each has a GET operation in openapi.yaml.
type route struct {
	path string // below Prefix, in the notation of http.ServeMux and OpenAPI
	kind query.Kind
	// answer returns what becomes the JSON of the answer.
	answer func(a *api, c *call) (any, error)
	// export, where there is one, calls each with every row.
	export func(a *api, c *call, each func(any) error) error
}

// call is one request to a route.
type call struct {
	ctx    context.Context
	caller *access.Caller
	req    query.Request
	http   *http.Request
}

func (c *call) path(name string) string { return c.http.PathValue(name) }

// New makes the handler of all routes under Prefix. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Exports <= 0 {
		o.Exports = 4
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = time.Minute
	}
	a := &api{Options: o, querier: query.New(o.Store, o.Limits), exports: make(chan struct{}, o.Exports), now: time.Now, openapi: document(o.ExtraPaths)}
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle("GET "+Prefix+r.path, a.handle(r))
	}
	mux.Handle("GET "+Prefix+"/openapi.json", a.authenticated(func(w http.ResponseWriter, _ *http.Request, _ *access.Caller) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(a.openapi)
	}))
	mux.Handle("POST "+Prefix+putBackPath, a.authenticated(a.putBack))
	mux.HandleFunc(Prefix+putBackPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		a.fail(w, r, &problem{Status: http.StatusMethodNotAllowed, Type: "method", Title: "Method not allowed", Detail: "this route is asked with POST"})
	})
	mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		get := r.Clone(r.Context())
		get.Method = http.MethodGet
		if _, pattern := mux.Handler(get); pattern != Prefix+"/" && r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			a.fail(w, r, &problem{Status: http.StatusMethodNotAllowed, Type: "method", Title: "Method not allowed", Detail: "this route is read with GET"})
			return
		}
		a.fail(w, r, &problem{Status: http.StatusNotFound, Type: "not-found", Title: "Not found", Detail: "there is no such route; " + Prefix + "/openapi.json lists all"})
	})
	return common(mux)
}

// common sets what every answer has.
func common(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// authenticated refuses requests without a caller, or whose caller's time is over.
func (a *api) authenticated(next func(http.ResponseWriter, *http.Request, *access.Caller)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := access.FromContext(r.Context())
		if expired(caller, a.now()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="tailrace"`)
			a.fail(w, r, access.ErrUnauthenticated)
			return
		}
		next(w, r, caller)
	})
}

func expired(c *access.Caller, now time.Time) bool {
	return c == nil || !c.Expires().IsZero() && !now.Before(c.Expires())
}

func (a *api) handle(rt route) http.Handler {
	return a.authenticated(func(w http.ResponseWriter, r *http.Request, caller *access.Caller) {
		values, err := url.ParseQuery(r.URL.RawQuery) // r.URL.Query() drops what it can't read
		if err != nil {
			a.fail(w, r, &query.ParamError{Param: "?", Reason: "the query string can't be read: " + err.Error()})
			return
		}
		ndjson, err := wantsNDJSON(r.Header, rt.export != nil)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		req, err := query.Parse(rt.kind, values, a.now())
		if err != nil {
			a.fail(w, r, err)
			return
		}
		c := &call{ctx: r.Context(), caller: caller, req: req, http: r}
		if ndjson {
			a.stream(w, c, rt, values)
			return
		}
		answer, err := rt.answer(a, c)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.WriteTimeout)) // not every server has one
		w.Header().Set("Content-Type", "application/json")
		if err := encode(w, answer); err != nil {
			a.Logger.Debug("An answer could not be written", zap.Error(err))
		}
	})
}
