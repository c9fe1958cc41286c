// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package webguard decides by Host, Origin and Sec-Fetch-Site whether a request may come from where it says. Listening on loopback is
// not enough: any web page can send requests there, and by DNS rebinding with its own name.
package webguard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Guard lets only pages of this very server in, called by a loopback name or by the address that was reached, and those that
// it names. The zero value is ready.
type Guard struct {
	Origins []string // further ones, as NormalizeOrigin returns them
	Hosts   []string // further ones, as NormalizeHost returns them
}

// What Check returns.
var (
	ErrHost   = errors.New("this Host is not allowed; add it to allowed_hosts if it is yours")
	ErrOrigin = errors.New("this Origin is not allowed; add it to allowed_origins if it is yours")
	// ErrSite: a browser says that a page of another site, or of another port, asks.
	ErrSite = errors.New("requests of pages of other sites are not allowed")
)

// NormalizeOrigin checks an entry of allowed_origins and returns it as browsers write it.
func NormalizeOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || strings.Contains(u.Host, "*") ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%q is no origin; expected http(s)://host[:port] without wildcards", s)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// NormalizeHost checks an entry of allowed_hosts: a host name or address, with or without a port.
func NormalizeHost(s string) (string, error) {
	host, port := splitHost(s)
	if host == "" || strings.ContainsAny(host, "/*@ ") || (strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		return "", fmt.Errorf("%q is no host; expected name or name:port without wildcards", s)
	}
	if port == "" {
		return host, nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q is no host; the port must be a number", s)
	}
	return net.JoinHostPort(host, port), nil
}

// Check is for every request, WebSocket handshakes included: a request that no browser sent has no Origin, and passes with a right Host.
func (g *Guard) Check(r *http.Request) error {
	host, port := splitHost(r.Host)
	if !g.ownHost(r, host, port) {
		return ErrHost
	}
	origins := r.Header.Values("Origin")
	switch len(origins) {
	case 0:
		return nil // no browser
	case 1:
	default:
		return ErrOrigin
	}
	u, err := url.Parse(origins[0])
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ErrOrigin // "null" too: a sandboxed frame, a file
	}
	if slices.Contains(g.Origins, u.Scheme+"://"+strings.ToLower(u.Host)) {
		return nil
	}
	defaultPort := "80"
	if u.Scheme == "https" {
		defaultPort = "443"
	}
	originHost, originPort := splitHost(u.Host)
	samePort := orDefault(originPort, defaultPort) == orDefault(port, defaultPort)
	sameHost := originHost == host || (loopback(originHost) && loopback(host))
	if samePort && sameHost {
		return nil
	}
	return ErrOrigin
}

// CheckSite is for requests that only pages of ours, and no links or images elsewhere, have a reason to send; after Check.
func (g *Guard) CheckSite(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // no browser; typed in; a page of ours
		return nil
	}
	if r.Header.Get("Origin") != "" {
		return nil // Check has allowed it
	}
	return ErrSite
}

// ownHost reports whether the client called us by a name of ours: a loopback name, the very address that it
// reached (a name that somebody else's DNS points here is no address), or a configured one.
func (g *Guard) ownHost(r *http.Request, host, port string) bool {
	if loopback(host) || slices.Contains(g.Hosts, host) {
		return true
	}
	if port != "" && slices.Contains(g.Hosts, net.JoinHostPort(host, port)) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap() == ip.Unmap()
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// splitHost splits host[:port]; the host comes back in lower case without brackets and trailing dot.
func splitHost(s string) (host, port string) {
	host = s
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
