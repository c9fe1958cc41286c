// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/client"

	"github.com/tailrace/tailrace/internal/identity"
)

// authenticate turns the credentials of a request into a proof; records is counted when it is refused. Receivers pass
// on request headers only with `include_metadata: true`.
func (i *identifier) authenticate(ctx context.Context, records int) (identity.Proof, error) {
	info := client.FromContext(ctx)
	var proof identity.Proof
	token, known, refused := i.token(ctx, info, records)
	if refused != nil {
		return proof, refused
	}
	if known {
		proof = identity.Prove(token, identity.SourceToken)
	} else if i.cfg.RequireToken {
		return proof, i.refuse(ctx, noToken, records, "a token is required: send it as header "+identity.MetadataToken+" or as authorization: Bearer")
	}
	if info.Auth == nil || i.cfg.AuthAttributes == (AuthAttributes{}) {
		return proof, nil
	}
	auth, err := fromAuth(info.Auth, i.cfg.AuthAttributes)
	if err != nil {
		return proof, i.refuse(ctx, ambiguousAuth, records, err.Error())
	}
	proof, err = proof.And(identity.Prove(auth, identity.SourceAuth))
	if err != nil {
		return proof, i.refuse(ctx, contradiction, records, err.Error())
	}
	return proof, nil
}

// token looks at our own header first; a bearer token counts only without it, and only when somebody knows it.
func (i *identifier) token(ctx context.Context, info client.Info, records int) (id identity.Identity, known bool, err error) {
	if values := info.Metadata.Get(identity.MetadataToken); len(values) > 0 {
		for _, value := range values[1:] {
			if value != values[0] {
				return id, false, i.refuse(ctx, unknownToken, records, "header "+identity.MetadataToken+" is given more than once, with different tokens")
			}
		}
		if id, known = i.lookup(strings.TrimSpace(values[0])); !known && i.cfg.OnUnknownToken == unknownRefuse {
			return id, false, i.refuse(ctx, unknownToken, records, "the token in header "+identity.MetadataToken+" is not known")
		}
		return id, known, nil
	}
	for _, value := range info.Metadata.Get("authorization") {
		if scheme, bearer, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "bearer") {
			if id, known = i.lookup(strings.TrimSpace(bearer)); known {
				return id, true, nil
			}
		}
	}
	return identity.Identity{}, false, nil
}

func (i *identifier) lookup(token string) (identity.Identity, bool) {
	if token == "" {
		return identity.Identity{}, false
	}
	if id, ok := i.tokens.ResolveToken(token); ok {
		return id, true
	}
	for _, resolver := range i.resolvers {
		if id, ok := resolver.ResolveToken(token); ok {
			return id, true
		}
	}
	return identity.Identity{}, false
}

// fromAuth reads ids from the auth data. An attribute with several values proves nothing definite, so it is an error rather than a guess.
func fromAuth(data client.AuthData, names AuthAttributes) (identity.Identity, error) {
	var id identity.Identity
	var errs error
	read := func(name string, into *string) {
		if name == "" {
			return
		}
		switch v := data.GetAttribute(name).(type) {
		case nil:
		case string:
			*into = v
		case []string:
			if len(v) == 1 {
				*into = v[0]
			} else if len(v) > 1 {
				errs = errors.Join(errs, fmt.Errorf("the authentication's attribute %q holds %d values, so it does not say which one this request is for", name, len(v)))
			}
		default:
			*into = fmt.Sprint(v)
		}
	}
	read(names.Project, &id.Project)
	read(names.Deployment, &id.Deployment)
	read(names.Server, &id.Server)
	read(names.Build, &id.Build)
	return id, errs
}
