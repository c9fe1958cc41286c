// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the networks whose X-Forwarded-For is believed; nil: none.
type proxies []netip.Prefix

// trusted reads trusted_proxies.
func (c *Config) trusted() (proxies, error) {
	var p proxies
	var errs []error
	for i, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if addr, e := netip.ParseAddr(text); e == nil && addr.Zone() == "" {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: %q is no address and no network; expected such as 10.1.2.3 or 10.0.0.0/8", i, text))
			continue
		}
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		p = append(p, network.Masked())
	}
	return p, errors.Join(errs...)
}

func (p proxies) contain(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(a) })
}

// client is the address that a request comes from: the other end of the connection, or, when that is a proxy that is trusted, the nearest
// address in X-Forwarded-For that is none. Each proxy appends who asked it, so what stands left of an address that is not trusted is only claimed.
func (p proxies) client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if len(p) == 0 {
		return host
	}
	at, err := netip.ParseAddr(host)
	if err != nil || !p.contain(at.Unmap().WithZone("")) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := forwarded(strings.TrimSpace(hop))
		if err != nil {
			break // what is left of it can't be believed either
		}
		if at = addr; !p.contain(at) {
			break
		}
	}
	return at.Unmap().WithZone("").String()
}

// forwarded reads an address as proxies write it, some of them with a port.
func forwarded(hop string) (netip.Addr, error) {
	if addr, err := netip.ParseAddrPort(hop); err == nil {
		return addr.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return addr.Unmap().WithZone(""), err
}
