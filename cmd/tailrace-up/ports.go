// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
)

// checkPorts finds addresses that are not free before anything starts: the components that would trip over them know the
// address and not the variable that moves it. The ports of ClickHouse are not looked at: an old one may hold them for a
// moment, and the new one waits for it.
func checkPorts(set settings) error {
	var errs []error
	for _, name := range []string{"TAILRACE_OTLP_GRPC", "TAILRACE_OTLP_HTTP", "TAILRACE_CONSOLE", "TAILRACE_HEALTH", "TAILRACE_METRICS_PORT"} {
		address, free := set.get(name), "address"
		if name == "TAILRACE_METRICS_PORT" {
			address, free = net.JoinHostPort("localhost", address), "port"
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: stop what listens there (another Tailrace?), or set %s to a free %s", err, name, free))
			continue
		}
		_ = l.Close()
	}
	return errors.Join(errs...)
}
