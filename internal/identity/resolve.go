// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Source says how strong the knowledge of a record's project is, the strongest first.
type Source uint8

// The sources of an identity.
const (
	SourceNone     Source = iota
	SourceToken           // a token of the sender that stands for an identity
	SourceAuth            // what an auth extension said about the sender
	SourceResource        // the resource's own canonical attribute
	SourceAlias           // another attribute of the resource that is configured to mean it
	SourceDefault         // the configured default project
	Sources               // their number
)

func (s Source) String() string {
	return [...]string{"none", "token", "auth", "resource", "alias", "default"}[s]
}

// Aliases are resource attributes that stand in for a canonical one when that is missing, the first one present wins.
type Aliases struct {
	// Project, Deployment, Server and Build list the attributes that may stand for each of the ids.
	Project    []string `mapstructure:"project"`
	Deployment []string `mapstructure:"deployment"`
	Server     []string `mapstructure:"server"`
	Build      []string `mapstructure:"build"`
}

// DefaultAliases returns a fresh copy of the attributes in use elsewhere.
func DefaultAliases() Aliases {
	return Aliases{
		Project:    []string{"mastra.project.id", "service.namespace", "k8s.namespace.name"},
		Deployment: []string{"mastra.deployment.id"},
		Server:     []string{"service.instance.id"},
	}
}

// ErrNoProject refuses a resource that nothing gives a project, when there is no default.
var ErrNoProject = errors.New("no " + AttrProject + ": neither the sender's token nor the resource names a project, and default_project is empty")

// ContradictionError refuses a claim against what the sender's credential says.
type ContradictionError struct {
	Attribute  string // one of the canonical names
	Source     Source // SourceToken or SourceAuth
	Proven     string // what the credential says
	Claimed    string // what the resource, or a second credential, says
	Credential bool   // Claimed is of a second credential
}

func (e *ContradictionError) Error() string {
	what := "the resource claims"
	if e.Credential {
		what = "its authentication says"
	}
	return fmt.Sprintf("%s: the sender's %s is for %q, but %s %q", e.Attribute, e.Source, e.Proven, what, e.Claimed)
}

// Proof is what the credentials of a request say; the empty Proof says nothing.
type Proof struct {
	ID Identity
	// sources holds the source of each field that is not empty.
	sources [fields]Source
}

// Prove returns the proof of a single credential. Its ids are cleaned.
func Prove(id Identity, source Source) Proof {
	p := Proof{ID: id}
	for i := range fields {
		f := p.ID.field(i)
		if *f, _ = Clean(*f); *f != "" {
			p.sources[i] = source
		}
	}
	return p
}

// And adds a weaker proof: what it says beyond p is taken, what it says against p is an error.
func (p Proof) And(weaker Proof) (Proof, error) {
	for i := range fields {
		mine, other := p.ID.field(i), *weaker.ID.field(i)
		switch {
		case other == "" || other == *mine:
		case *mine == "":
			*mine, p.sources[i] = other, weaker.sources[i]
		default:
			return p, &ContradictionError{Attribute: attributes[i], Source: p.sources[i], Proven: *mine, Claimed: other, Credential: true}
		}
	}
	return p, nil
}

// fields counts an Identity's fields; attributes holds their canonical names in the same order.
const fields = 4

var attributes = [fields]string{AttrProject, AttrDeployment, AttrServer, AttrBuild}

func (id *Identity) field(i int) *string {
	switch i {
	case 0:
		return &id.Project
	case 1:
		return &id.Deployment
	case 2:
		return &id.Server
	default:
		return &id.Build
	}
}

// Resolver gives resources their identity. It has no state and is safe for concurrent use.
type Resolver struct {
	aliases        [fields][]string
	defaultProject string
}

// NewResolver returns a Resolver; an empty defaultProject refuses resources without a project.
func NewResolver(aliases Aliases, defaultProject string) *Resolver {
	defaultProject, _ = Clean(defaultProject)
	return &Resolver{
		aliases:        [fields][]string{aliases.Project, aliases.Deployment, aliases.Server, aliases.Build},
		defaultProject: defaultProject,
	}
}

// Resolution is what Resolve found.
type Resolution struct {
	ID       Identity
	Source   Source // of the project
	Repaired int    // ids of the resource that had to be cleaned
}

// Resolve finds the identity of a resource and writes it to the canonical attributes. On an error (a
// *ContradictionError or ErrNoProject) the attributes are left as they were.
//
// Only a canonical attribute is a claim that can contradict a proof. An alias is a hint that the proof overrides:
// `service.namespace` or a random `service.instance.id` means other things to most senders.
func (r *Resolver) Resolve(attrs pcommon.Map, proof Proof) (Resolution, error) {
	res := Resolution{ID: proof.ID, Source: proof.sources[0]}
	var write [fields]bool
	for i, canonical := range attributes {
		field := res.ID.field(i)
		own := lookup(attrs, canonical)
		if *field != "" {
			if own.id != "" && own.id != *field {
				return res, &ContradictionError{Attribute: canonical, Source: proof.sources[i], Proven: *field, Claimed: own.id}
			}
			write[i] = own.id == "" || own.rewrite
			continue
		}
		found, source := own, SourceResource
		write[i] = own.rewrite
		if own.id == "" {
			source = SourceAlias
			for _, alias := range r.aliases[i] {
				if found = lookup(attrs, alias); found.id != "" {
					write[i] = true
					break
				}
			}
		}
		if i == 0 {
			if found.id == "" {
				if r.defaultProject == "" {
					return res, ErrNoProject
				}
				found, source, write[i] = value{id: r.defaultProject}, SourceDefault, true
			}
			res.Source = source
		}
		*field = found.id
		if found.repaired {
			res.Repaired++
		}
	}
	for i, canonical := range attributes {
		switch id := *res.ID.field(i); {
		case !write[i]:
		case id != "":
			attrs.PutStr(canonical, id)
		default: // present but blank
			attrs.Remove(canonical)
		}
	}
	return res, nil
}

// value is an id as a resource attribute carries it.
type value struct {
	id       string // cleaned; empty when absent or blank
	repaired bool   // it needed more than trimming
	rewrite  bool   // the attribute itself is not exactly id
}

// lookup reads an id. A number counts as its decimal text.
func lookup(attrs pcommon.Map, key string) value {
	v, ok := attrs.Get(key)
	if !ok {
		return value{}
	}
	raw := v.AsString()
	id, repaired := Clean(raw)
	return value{id: id, repaired: repaired, rewrite: id != raw || id == "" || v.Type() != pcommon.ValueTypeStr}
}
