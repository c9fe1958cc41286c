// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"time"
)

// Identity is what an authenticator found out about who asks; rules turn it into a Caller. It is not changed after it was handed on.
type Identity struct {
	// Subject is the name; never empty.
	Subject string
	// Method is how it was shown: "basic", "oidc", "token".
	Method string
	// Authenticator is the component.ID of the auth extension, as in YAML; "tokens" for API tokens.
	Authenticator string
	// Groups are the memberships.
	Groups []string
	// Claims are what else is known, each with all of its values as text.
	Claims map[string][]string
	// Expires is when the credential ends; zero: not known to end.
	Expires time.Time
}

// ClaimValues turns a claim into text: strings, numbers, booleans, and lists of them; nil for anything else.
func ClaimValues(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return slices.Clone(v)
	case bool, int, int64, uint64, float64:
		return []string{fmt.Sprint(v)}
	case []any:
		var out []string
		for _, e := range v {
			if _, nested := e.([]any); !nested {
				out = append(out, ClaimValues(e)...)
			}
		}
		return out
	}
	return nil
}
