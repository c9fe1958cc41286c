// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/tailrace/tailrace/internal/access"
)

// errNoSubject: such as bearertokenauth, which only knows that a token is one of its list.
var errNoSubject = errors.New("the authenticator does not say who it is")

// authenticators finds the auth extensions that are configured.
func (c *console) authenticators(host component.Host) ([]access.Authenticator, error) {
	var out []access.Authenticator
	for _, id := range c.cfg.Auth.Get().Authenticators {
		extension, ok := host.GetExtensions()[id]
		if !ok {
			return nil, fmt.Errorf("auth::authenticators: there is no extension %q: define it under extensions and list it in service::extensions", id)
		}
		server, ok := extension.(extensionauth.Server)
		if !ok {
			return nil, fmt.Errorf("auth::authenticators: the extension %q authenticates no requests: name one such as basicauth or oidc", id)
		}
		out = append(out, access.Authenticator{Name: id.String(), Authenticate: authenticate(server, methodOf(id.Type()))})
	}
	return out, nil
}

func methodOf(t component.Type) string {
	if t.String() == "basicauth" {
		return "basic"
	}
	return t.String()
}

func authenticate(server extensionauth.Server, method string) func(context.Context, http.Header) (access.Identity, error) {
	return func(ctx context.Context, headers http.Header) (access.Identity, error) {
		// What an outer server has put there is not this one's answer.
		info := client.FromContext(ctx)
		info.Auth = nil
		ctx, err := server.Authenticate(client.NewContext(ctx, info), headers)
		if err != nil {
			return access.Identity{}, err
		}
		return identityOf(client.FromContext(ctx).Auth, method)
	}
}

// identityOf reads the names that basicauth and oidc use. The attribute raw, which is the credential, is not touched.
func identityOf(data client.AuthData, method string) (access.Identity, error) {
	id := access.Identity{Method: method, Claims: map[string][]string{}}
	if data == nil {
		return id, errNoSubject
	}
	for _, name := range []string{"subject", "username"} {
		if s, ok := data.GetAttribute(name).(string); ok && id.Subject == "" {
			id.Subject = s
		}
	}
	for _, name := range []string{"membership", "groups"} {
		id.Groups = append(id.Groups, access.ClaimValues(data.GetAttribute(name))...)
	}
	for _, name := range data.GetAttributeNames() {
		if claim, ok := strings.CutPrefix(name, "claims."); ok {
			id.Claims[claim] = access.ClaimValues(data.GetAttribute(name))
		}
	}
	if exp, ok := data.GetAttribute("claims.exp").(float64); ok && exp > 0 {
		id.Expires = time.Unix(int64(exp), 0)
	}
	if id.Subject == "" {
		return id, errNoSubject
	}
	return id, nil
}
