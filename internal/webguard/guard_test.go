// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package webguard

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGuard(t *testing.T) {
	g := Guard{Origins: []string{"https://admin.example.com"}, Hosts: []string{"tail.example.com", "proxy.example.com:8443"}}
	none := "-"
	for _, tc := range []struct {
		host, origin string
		want         error
	}{
		{"localhost:4400", none, nil},
		{"LOCALHOST.:4400", none, nil},
		{"127.0.0.1:4400", none, nil},
		{"127.9.9.9", none, nil},
		{"[::1]:4400", none, nil},
		{"192.168.1.5:4400", none, nil}, // the address that the client reached
		{"192.168.1.6:4400", none, ErrHost},
		{"evil.example:4400", none, ErrHost}, // DNS rebinding: a foreign name for our address
		{"localhost.evil.example:4400", none, ErrHost},
		{"127.0.0.1.evil.example", none, ErrHost},
		{"", none, ErrHost},
		{"tail.example.com", none, nil},
		{"tail.example.com:1234", none, nil},
		{"proxy.example.com:8443", none, nil},
		{"proxy.example.com:9999", none, ErrHost},

		{"localhost:4400", "http://localhost:4400", nil},
		{"localhost:4400", "http://127.0.0.1:4400", nil},
		{"localhost:4400", "https://localhost:4400", nil},
		{"localhost", "http://localhost", nil},
		{"localhost:80", "http://localhost", nil},
		{"localhost:4400", "http://localhost:3000", ErrOrigin}, // another program's page on this machine
		{"localhost:4400", "http://localhost", ErrOrigin},
		{"localhost:4400", "https://evil.example", ErrOrigin},
		{"localhost:4400", "http://evil.example:4400", ErrOrigin},
		{"localhost:4400", "null", ErrOrigin},
		{"localhost:4400", "", ErrOrigin},
		{"localhost:4400", "file://", ErrOrigin},
		{"localhost:4400", "https://admin.example.com", nil},
		{"localhost:4400", "HTTPS://ADMIN.example.com", nil},
		{"localhost:4400", "http://admin.example.com", ErrOrigin},
		{"localhost:4400", "https://admin.example.com:444", ErrOrigin},
		{"localhost:4400", "https://admin.example.com.evil.example", ErrOrigin},
		{"tail.example.com", "https://tail.example.com", nil}, // a proxy in front of us speaks TLS
		{"tail.example.com", "http://tail.example.com", nil},
		{"evil.example:4400", "https://admin.example.com", ErrHost},
	} {
		r := &http.Request{Host: tc.host, Header: http.Header{}}
		ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP("192.168.1.5"), Port: 4400})
		if tc.origin != none {
			r.Header.Set("Origin", tc.origin)
		}
		assert.Equal(t, tc.want, g.Check(r.WithContext(ctx)), "%s from %s", tc.host, tc.origin)
	}
	r := &http.Request{Host: "localhost", Header: http.Header{"Origin": {"http://localhost", "https://evil.example"}}}
	assert.Equal(t, ErrOrigin, g.Check(r))
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"https://Admin.Example.com": "https://admin.example.com", "http://localhost:3000/": "http://localhost:3000",
		"admin.example.com": "", "*": "", "https://*.example.com": "", "https://a/b": "", "ftp://a": "", "": "", "https://u@a": "",
	} {
		got, err := NormalizeOrigin(in)
		assert.Equal(t, want, got, in)
		assert.Equal(t, want == "", err != nil, in)
	}
	for in, want := range map[string]string{
		"Tail.Example.com": "tail.example.com", "tail:80": "tail:80", "[::1]:80": "[::1]:80", "::1": "::1",
		"": "", "*": "", "http://x": "", "a b": "",
	} {
		got, err := NormalizeHost(in)
		assert.Equal(t, want, got, in)
		assert.Equal(t, want == "", err != nil, in)
	}
}

func TestCheckSite(t *testing.T) {
	for _, tc := range []struct {
		site, origin string
		want         error
	}{
		{"", "", nil}, {"none", "", nil}, {"same-origin", "", nil},
		{"same-site", "", ErrSite}, {"cross-site", "", ErrSite}, {"anything", "", ErrSite},
		{"cross-site", "https://admin.example.com", nil},
	} {
		r := &http.Request{Host: "localhost", Header: http.Header{}}
		r.Header.Set("Sec-Fetch-Site", tc.site)
		r.Header.Set("Origin", tc.origin)
		if tc.origin == "" {
			r.Header.Del("Origin")
		}
		assert.Equal(t, tc.want, (&Guard{}).CheckSite(r), "%+v", tc)
	}
}
