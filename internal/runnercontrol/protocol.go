// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnercontrol

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// EnvSocket names the variable that holds the path of the socket for clients.
const EnvSocket = "TAILRACE_CONTROL_SOCKET"

// Where a definition comes from.
const (
	OriginConfiguration = "configuration" // the YAML of the collector
	OriginRuntime       = "runtime"       // a PUT
)

// Actions on servers and builds.
const (
	ActionStart   = "start"
	ActionStop    = "stop"
	ActionRestart = "restart"
	ActionCancel  = "cancel"
)

// Server is the state of one server.
type Server struct {
	ID         string `json:"id"`
	Project    string `json:"project,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	// State is defined, waiting, starting, running, backoff, stopping, stopped, exited or failed.
	State string `json:"state"`
	// Since is when the state began.
	Since  *time.Time `json:"since,omitempty"`
	Reason string     `json:"reason,omitempty"`
	// Health is empty before the first start, else starting, healthy, unhealthy or stopping.
	Health string `json:"health,omitempty"`
	// Settled says that nothing is on its way.
	Settled  bool    `json:"settled"`
	PID      int     `json:"pid,omitempty"`
	Port     int     `json:"port,omitempty"` // that was assigned
	Restarts int     `json:"restarts"`
	Exit     *Exit   `json:"exit,omitempty"` // of the last process that has ended
	Uptime   float64 `json:"uptime_s,omitempty"`
	Usage    *Usage  `json:"usage,omitempty"`
	Origin   string  `json:"origin"`
}

// Exit is how a process ended.
type Exit struct {
	Code   int    `json:"code"` // -1 after a signal
	Signal string `json:"signal,omitempty"`
}

// String is exit code 3, or the name of the signal.
func (e *Exit) String() string {
	if e.Signal != "" {
		return e.Signal
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Usage is what the process tree of a server uses, where that is known.
type Usage struct {
	CPU       float64 `json:"cpu_s"` // time used since its start
	Memory    int64   `json:"memory_bytes"`
	Processes int     `json:"processes"`
	Threads   int     `json:"threads"`
	OpenFiles int     `json:"open_files,omitempty"`
}

// Build is the state of one build.
type Build struct {
	ID         string `json:"id"`
	Project    string `json:"project,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	// Phase is defined (it has not been asked for), queued, building, deploying, succeeded, failed or cancelled.
	Phase    string     `json:"phase"`
	Since    *time.Time `json:"since,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Settled  bool       `json:"settled"`
	Queue    int        `json:"queue,omitempty"` // its place, from 1
	PID      int        `json:"pid,omitempty"`
	Runs     int        `json:"runs"`
	Exit     *Exit      `json:"exit,omitempty"`
	Duration float64    `json:"duration_s,omitempty"`
	Origin   string     `json:"origin"`
}

// Servers and Builds are lists.
type Servers struct {
	Servers []Server `json:"servers"`
}

// Builds is the list of builds.
type Builds struct {
	Builds []Build `json:"builds"`
}

// The codes of problems.
const (
	CodeNotFound   = "not_found"          // no such path
	CodeMethod     = "method_not_allowed" // of a path that exists
	CodeUnknown    = "unknown_id"         // no server or build of this id
	CodeBusy       = "already_running"    // the build runs or is queued
	CodeIdle       = "not_running"        // the build does not
	CodeConfigured = "defined_in_the_configuration"
	CodeInUse      = "in_use" // other definitions name it
	CodeInvalid    = "invalid_definition"
	CodeRequest    = "bad_request"
	CodeTooLarge   = "too_large"
	CodeTooMany    = "too_many"
	CodeForbidden  = "forbidden"
	CodeNotReady   = "not_ready" // the collector starts, reloads or stops; try again
)

var statusOf = map[string]int{
	CodeNotFound: http.StatusNotFound, CodeMethod: http.StatusMethodNotAllowed, CodeUnknown: http.StatusNotFound,
	CodeBusy: http.StatusConflict, CodeIdle: http.StatusConflict, CodeConfigured: http.StatusConflict, CodeInUse: http.StatusConflict,
	CodeInvalid: http.StatusUnprocessableEntity, CodeRequest: http.StatusBadRequest, CodeTooLarge: http.StatusRequestEntityTooLarge,
	CodeTooMany: http.StatusConflict, CodeForbidden: http.StatusForbidden, CodeNotReady: http.StatusServiceUnavailable,
}

// Problem is an error of the API, in the form of RFC 9457.
type Problem struct {
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Code   string   `json:"code"`
	Detail string   `json:"detail"`
	Errors []string `json:"errors,omitempty"` // of a definition, each with its key
}

// NewProblem returns a problem with the status of its code.
func NewProblem(code, format string, args ...any) *Problem {
	status, ok := statusOf[code]
	if !ok {
		status = http.StatusInternalServerError
	}
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (p *Problem) Error() string {
	if len(p.Errors) > 0 {
		return p.Detail + ":\n  " + strings.Join(p.Errors, "\n  ")
	}
	return p.Detail
}
