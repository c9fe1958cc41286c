// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Role is what a caller may do with a project. A higher role includes the lower ones.
type Role uint8

// Roles, the weakest first.
const (
	// RoleNone sees nothing.
	RoleNone Role = iota
	// RoleViewer reads.
	RoleViewer
	// RoleOperator also changes: puts failed files back, starts and stops servers.
	RoleOperator
)

// String is the role's name in YAML and in answers.
func (r Role) String() string {
	switch r {
	case RoleViewer:
		return "viewer"
	case RoleOperator:
		return "operator"
	default:
		return "none"
	}
}

// Grant gives a role on every project that one of the patterns matches.
type Grant struct {
	Role     Role
	Projects []Pattern
}

// Caller is who asks, and what it may see. It is immutable and safe for concurrent use; nil may see nothing.
type Caller struct {
	subject string
	method  string
	expires time.Time
	grants  []Grant
}

// NewCaller makes a caller. Subject is its name in audit records ("ada", "token:ci"), method how it showed who it is
// ("basic", "oidc", "token", "session", "local"). A zero expires never expires. The grants are copied.
func NewCaller(subject, method string, expires time.Time, grants []Grant) *Caller {
	c := &Caller{subject: subject, method: method, expires: expires}
	for _, g := range grants {
		c.grants = append(c.grants, Grant{Role: g.Role, Projects: slices.Clone(g.Projects)})
	}
	return c
}

// Local is the caller where no authentication is configured, which is only on loopback: it may do everything.
func Local() *Caller {
	return NewCaller("local", "local", time.Time{}, []Grant{{Role: RoleOperator, Projects: []Pattern{All}}})
}

// Subject is the caller's name, "" for nil.
func (c *Caller) Subject() string {
	if c == nil {
		return ""
	}
	return c.subject
}

// Method is how the caller showed who it is, "" for nil.
func (c *Caller) Method() string {
	if c == nil {
		return ""
	}
	return c.method
}

// Expires is when the caller has to be decided anew; zero: never.
func (c *Caller) Expires() time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.expires
}

// Role is the highest role that the caller has on a project.
func (c *Caller) Role(project string) Role {
	if c == nil {
		return RoleNone
	}
	best := RoleNone
	for _, g := range c.grants {
		if g.Role > best && slices.ContainsFunc(g.Projects, func(p Pattern) bool { return p.Match(project) }) {
			best = g.Role
		}
	}
	return best
}

// MayRead reports whether records of the project may be shown to the caller.
func (c *Caller) MayRead(project string) bool { return c.Role(project) >= RoleViewer }

// MayOperate reports whether the caller may change what belongs to the project.
func (c *Caller) MayOperate(project string) bool { return c.Role(project) >= RoleOperator }

// Readable are the patterns of the projects that the caller may read, without repetition, for a query to be restricted
// to; empty: none. It contains All alone when every project is readable.
func (c *Caller) Readable() []Pattern { return c.patterns(RoleViewer) }

// Operable are the patterns of the projects that the caller may change, as Readable.
func (c *Caller) Operable() []Pattern { return c.patterns(RoleOperator) }

func (c *Caller) patterns(role Role) []Pattern {
	if c == nil {
		return nil
	}
	var out []Pattern
	for _, g := range c.grants {
		if g.Role >= role {
			out = append(out, g.Projects...)
		}
	}
	if slices.Contains(out, All) {
		return []Pattern{All}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Errors of an Authority.
var (
	// ErrUnauthenticated: no credential, a wrong or an expired one.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the caller is known and may not do this.
	ErrForbidden = errors.New("not allowed")
)

// Authority tells who a credential stands for. Implementations are safe for concurrent use.
type Authority interface {
	// Authenticate decides by the headers of a request (Authorization, Cookie). The error wraps ErrUnauthenticated
	// when the credential is missing or no good; anything else is a fault of the authority itself.
	Authenticate(ctx context.Context, headers http.Header) (*Caller, error)
	// Changed returns a channel that is closed when callers have to be decided again (rules, tokens or sessions
	// changed). Who waits takes the channel first, then authenticates, so that no change falls between.
	Changed() <-chan struct{}
}

type contextKey struct{}

// NewContext returns a context that carries the caller.
func NewContext(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the caller of a context; nil, which may see nothing, when there is none.
func FromContext(ctx context.Context) *Caller {
	c, _ := ctx.Value(contextKey{}).(*Caller)
	return c
}
