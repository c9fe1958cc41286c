// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/processor/identityprocessor/internal/metadata"
)

// identifier is what the three signals have in common. Immutable after start.
type identifier struct {
	cfg       *Config
	telemetry *metadata.TelemetryBuilder
	tokens    *identity.TokenTable
	resolvers []identity.TokenResolver
	resolver  *identity.Resolver
	uids      identity.UIDs

	bySource [identity.Sources]metric.AddOption
	byReason [reasons]metric.AddOption
	bySignal metric.AddOption
}

// reason says why records were refused.
type reason int

const (
	noToken reason = iota
	unknownToken
	contradiction
	ambiguousAuth
	noProject
	quota
	reasons
)

func (r reason) String() string {
	return [...]string{"no_token", "unknown_token", "contradiction", "ambiguous_auth", "no_project", "quota"}[r]
}

// code is what the sender sees: the OTLP receiver turns it into 401, 403 or 400 over HTTP. None but the last is sent again.
func (r reason) code() codes.Code {
	return [...]codes.Code{codes.Unauthenticated, codes.Unauthenticated, codes.PermissionDenied, codes.PermissionDenied, codes.InvalidArgument, codes.ResourceExhausted}[r]
}

func newIdentifier(set processor.Settings, cfg *Config, signal string) (*identifier, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	if cfg.limits == nil { // pipelines are made one after the other
		cfg.limits = &limits{}
	}
	i := &identifier{cfg: cfg, telemetry: telemetry, tokens: identity.NewTokenTable(), resolver: identity.NewResolver(cfg.Aliases, cfg.DefaultProject)}
	for _, t := range cfg.Tokens {
		i.tokens.Add(string(t.Token), t.Identity)
	}
	// Built once: an attribute set costs more than all else that happens to a small request.
	label := attribute.String("otel.signal", signal)
	for s := range i.bySource {
		i.bySource[s] = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("source", identity.Source(s).String())))
	}
	for r := range i.byReason {
		i.byReason[r] = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("reason", reason(r).String())))
	}
	i.bySignal = metric.WithAttributeSet(attribute.NewSet(label))
	return i, nil
}

// start finds the token resolvers by the ids that the user configured.
func (i *identifier) start(_ context.Context, host component.Host) error {
	extensions := host.GetExtensions()
	var errs error
	for n, id := range i.cfg.TokenResolvers {
		ext, ok := extensions[id]
		if !ok {
			errs = errors.Join(errs, fmt.Errorf("token_resolvers[%d]: there is no extension %s: add it to extensions: and service::extensions", n, id))
			continue
		}
		resolver, ok := ext.(identity.TokenResolver)
		if !ok {
			errs = errors.Join(errs, fmt.Errorf("token_resolvers[%d]: extension %s does not know tokens; the runner does", n, id))
			continue
		}
		i.resolvers = append(i.resolvers, resolver)
	}
	return errs
}

func (i *identifier) shutdown(context.Context) error {
	i.telemetry.Shutdown()
	return nil
}

// request collects what happens to the resources of one request.
type request struct {
	*identifier
	proof     identity.Proof
	bySource  [identity.Sources]int64
	refused   [reasons]int64
	repaired  int64
	stamped   int64
	resources int // seen
	bad       int // refused
	first     error
	firstWhy  reason
	shares    []share // of the projects whose resources stay
}

// resource identifies one resource with its number of records, and reports whether it must be removed.
func (r *request) resource(res pcommon.Resource, records int) (remove bool) {
	r.resources++
	found, err := r.resolver.Resolve(res.Attributes(), r.proof)
	if err != nil {
		why := contradiction
		if errors.Is(err, identity.ErrNoProject) {
			why = noProject
		}
		if r.first == nil {
			r.first, r.firstWhy = err, why
		}
		r.bad++
		r.refused[why] += int64(records)
		return true
	}
	if r.cfg.Quotas.any() {
		i := slices.IndexFunc(r.shares, func(s share) bool { return s.project == found.ID.Project })
		if i < 0 {
			i = len(r.shares)
			r.shares = append(r.shares, share{project: found.ID.Project})
		}
		r.shares[i].records += records
	}
	r.bySource[found.Source] += int64(records)
	r.repaired += int64(found.Repaired)
	return false
}

// finish counts, and returns what the sender is to know when resources were refused.
//
// A request of which a part is refused: the good part goes through, and the sender is told by an error that is
// permanent, after the next consumer took the good part. The alternatives are worse: refusing all would lose the
// good records of a gateway that batches for many senders, since a permanent error is not sent again; returning nil would hide the
// loss; and OTLP's partial success can't be answered from a processor. A sender that repeats nevertheless does no
// harm to spans and to logs with a uid of their own, which the store deduplicates.
func (r *request) finish(ctx context.Context) error {
	var passed, refused int64
	for s, n := range r.bySource {
		if n > 0 {
			passed += n
			r.telemetry.IdentityRecords.Add(ctx, n, r.identifier.bySource[s])
		}
	}
	for why, n := range r.refused {
		if n > 0 {
			refused += n
			r.telemetry.IdentityRefusedRecords.Add(ctx, n, r.byReason[why])
		}
	}
	if r.repaired > 0 {
		r.telemetry.IdentityIdsRepaired.Add(ctx, r.repaired, r.bySignal)
	}
	if r.stamped > 0 {
		r.telemetry.IdentityUidsStamped.Add(ctx, r.stamped, r.bySignal)
	}
	if r.first == nil {
		return nil
	}
	if r.bad == r.resources {
		return refusal(r.firstWhy, r.first.Error())
	}
	return refusal(r.firstWhy, fmt.Sprintf("%d of %d resources refused, with %d of %d records (the others were accepted: do not send them again); the first: %v",
		r.bad, r.resources, refused, refused+passed, r.first))
}

// refuse counts and refuses a whole request.
func (i *identifier) refuse(ctx context.Context, why reason, records int, text string) error {
	i.telemetry.IdentityRefusedRecords.Add(ctx, int64(records), i.byReason[why])
	return refusal(why, text)
}

// refusal is permanent, for receivers that look at consumererror, and carries a gRPC status, for those that answer with it.
func refusal(why reason, text string) error {
	return consumererror.NewPermanent(&refusedError{code: why.code(), text: text})
}

// refusedError is a status error whose text is for people: status.Error puts "rpc error: code = …" before it.
type refusedError struct {
	code codes.Code
	text string
}

func (e *refusedError) Error() string { return e.text }

// GRPCStatus is what status.FromError looks for.
func (e *refusedError) GRPCStatus() *status.Status { return status.New(e.code, e.text) }
