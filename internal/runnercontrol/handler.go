// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnercontrol

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// maxDefinition bounds the body of a PUT.
	maxDefinition = 256 << 10
	// maxWait bounds the wait of a request.
	maxWait = 10 * time.Minute
)

// Runner is what the API is about. Its errors are Problems; any other one is answered with the status 500. Safe for
// concurrent use.
type Runner interface {
	Servers() []Server
	Builds() []Build
	// ControlServer does one of start, stop and restart, ControlBuild start or cancel. They do not wait.
	ControlServer(id, action string) error
	ControlBuild(id, action string) error
	// WaitServer and WaitBuild return when it is settled or ctx has ended, with its state then.
	WaitServer(ctx context.Context, id string) (Server, error)
	WaitBuild(ctx context.Context, id string) (Build, error)
	// PutServer and PutBuild define one at run time, from JSON with the keys of the YAML.
	PutServer(id string, definition []byte) (created bool, err error)
	PutBuild(id string, definition []byte) (created bool, err error)
	DeleteServer(id string) error
	DeleteBuild(id string) error
}

// NewHandler serves the API of runner. allowed decides over each request, nil allows all.
func NewHandler(runner Runner, allowed func(context.Context) error) http.Handler {
	h := handler{runner}
	mux := http.NewServeMux()
	routes := map[string]map[string]func(http.ResponseWriter, *http.Request) error{
		"/v1/servers":      {http.MethodGet: h.servers},
		"/v1/servers/{id}": {http.MethodGet: h.server, http.MethodPut: h.putServer, http.MethodDelete: h.deleteServer},
		"/v1/builds":       {http.MethodGet: h.builds},
		"/v1/builds/{id}":  {http.MethodGet: h.build, http.MethodPut: h.putBuild, http.MethodDelete: h.deleteBuild},
	}
	for _, action := range []string{ActionStart, ActionStop, ActionRestart} {
		routes["/v1/servers/{id}/"+action] = one(http.MethodPost, h.controlServer(action))
	}
	for _, action := range []string{ActionStart, ActionCancel} {
		routes["/v1/builds/{id}/"+action] = one(http.MethodPost, h.controlBuild(action))
	}
	for path, methods := range routes {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			serve, ok := methods[r.Method]
			if !ok {
				answerError(w, NewProblem(CodeMethod, "%s is not possible on %s", r.Method, r.URL.Path))
				return
			}
			if err := serve(w, r); err != nil {
				answerError(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, NewProblem(CodeNotFound, "there is no %s; see /v1/servers and /v1/builds", r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed != nil {
			if err := allowed(r.Context()); err != nil {
				answerError(w, err)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

func one(method string, serve func(http.ResponseWriter, *http.Request) error) map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{method: serve}
}

type handler struct{ runner Runner }

func (h handler) servers(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, Servers{Servers: nonNil(h.runner.Servers())})
}

func (h handler) builds(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, Builds{Builds: nonNil(h.runner.Builds())})
}

// nonNil makes an empty list of no list.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (h handler) server(w http.ResponseWriter, r *http.Request) error {
	return h.answerServer(w, r, http.StatusOK)
}

func (h handler) build(w http.ResponseWriter, r *http.Request) error {
	return h.answerBuild(w, r, http.StatusOK)
}

func (h handler) controlServer(action string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := waitOf(r); err != nil { // before something is done
			return err
		}
		if err := h.runner.ControlServer(r.PathValue("id"), action); err != nil {
			return err
		}
		return h.answerServer(w, r, http.StatusOK)
	}
}

func (h handler) controlBuild(action string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := waitOf(r); err != nil {
			return err
		}
		if err := h.runner.ControlBuild(r.PathValue("id"), action); err != nil {
			return err
		}
		return h.answerBuild(w, r, http.StatusOK)
	}
}

func (h handler) putServer(w http.ResponseWriter, r *http.Request) error {
	status, err := put(w, r, h.runner.PutServer)
	if err != nil {
		return err
	}
	return h.answerServer(w, r, status)
}

func (h handler) putBuild(w http.ResponseWriter, r *http.Request) error {
	status, err := put(w, r, h.runner.PutBuild)
	if err != nil {
		return err
	}
	return h.answerBuild(w, r, status)
}

func put(w http.ResponseWriter, r *http.Request, define func(string, []byte) (bool, error)) (status int, err error) {
	if _, err := waitOf(r); err != nil {
		return 0, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDefinition))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return 0, NewProblem(CodeTooLarge, "a definition has at most %d bytes", maxDefinition)
	}
	if err != nil {
		return 0, NewProblem(CodeRequest, "the definition could not be read: %v", err)
	}
	created, err := define(r.PathValue("id"), body)
	if created {
		return http.StatusCreated, err
	}
	return http.StatusOK, err
}

func (h handler) deleteServer(w http.ResponseWriter, r *http.Request) error {
	if err := h.runner.DeleteServer(r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h handler) deleteBuild(w http.ResponseWriter, r *http.Request) error {
	if err := h.runner.DeleteBuild(r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// waitOf is the parameter wait, 0 without.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, NewProblem(CodeRequest, "wait: must be a duration from 0s to %s, such as 30s, not %q", maxWait, text)
	}
	return wait, nil
}

// answerServer waits as long as the request wants. A server that is not settled then is no error.
func (h handler) answerServer(w http.ResponseWriter, r *http.Request, status int) error {
	return answerSettled(w, r, status, h.runner.WaitServer)
}

func (h handler) answerBuild(w http.ResponseWriter, r *http.Request, status int) error {
	return answerSettled(w, r, status, h.runner.WaitBuild)
}

func answerSettled[T any](w http.ResponseWriter, r *http.Request, status int, wait func(context.Context, string) (T, error)) error {
	limit, err := waitOf(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	state, err := wait(ctx, r.PathValue("id"))
	if err != nil && ctx.Err() == nil {
		return err
	}
	if problem := new(Problem); errors.As(err, &problem) {
		return problem
	}
	return answer(w, status, state)
}

func answer(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client has gone
	return nil
}

func answerError(w http.ResponseWriter, err error) {
	problem := new(Problem)
	if !errors.As(err, &problem) {
		problem = NewProblem("internal", "%v", err)
	}
	text, err := json.Marshal(problem)
	if err != nil {
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(problem.Status)
	_, _ = w.Write(append(text, '\n'))
}
