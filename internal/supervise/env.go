// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"strings"
)

// Environ builds the environment of a child: what allow lets through of parent ("NAME=value"), then
// injected, then own; the later one wins. A name in allow may end in "*". Nothing else of the parent's
// environment is visible to the child. The result is sorted by name.
func Environ(parent, allow []string, injected, own map[string]string) []string {
	all := map[string]string{}
	for _, entry := range parent {
		name, value, ok := strings.Cut(entry, "=")
		if ok && name != "" && slices.ContainsFunc(allow, func(pattern string) bool { return matches(pattern, name) }) {
			all[name] = value
		}
	}
	for _, set := range []map[string]string{injected, own} {
		for name, value := range set {
			all[name] = value
		}
	}
	env := make([]string, 0, len(all))
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// PairList writes pairs (name, value, name, value, …) in the form of OTEL_RESOURCE_ATTRIBUTES and
// OTEL_EXPORTER_OTLP_HEADERS: a=b,c=d, percent-encoded. Pairs with an empty value are left out.
func PairList(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		percentEncode(&b, pairs[i])
		b.WriteByte('=')
		percentEncode(&b, pairs[i+1])
	}
	return b.String()
}

// percentEncode encodes all but the unreserved characters of RFC 3986: more than the specification asks
// for, and understood by every SDK, because decoding is the same.
func percentEncode(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}
