// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"runtime"
	"strings"
)

// phase says why the collector builds or ends a service.
type phase uint8

const (
	phaseOther    phase = iota // its first start, or its end
	phaseRetiring              // a reload ends the old service
	phaseRenewing              // a reload builds the new service, or ends it because it did not start
)

// The functions of the collector that do so, by the end of their names.
const (
	collectorPackage  = "go.opentelemetry.io/collector/otelcol."
	functionOfReload  = "reload"
	functionOfSetup   = "setupconfigurationcomponents"
	mostCallersLooked = 64
)

// collectorPhase finds out, from within a call of the collector, whether it reloads its configuration. The collector tells
// extensions nothing of that: a reload calls what the end of the process calls. Its callers are the one thing that differs, and they can't be
// mistaken. A handler of SIGHUP of our own could: a SIGHUP that comes on the heels of a SIGTERM (systemd sends both with SendSIGHUP=yes)
// or before the collector listens is no reload, and a reload may come from elsewhere (a provider that watches its source). Where the
// names are others than expected, nothing is a reload: then all servers are restarted, and none is left behind.
func collectorPhase() phase {
	pcs := make([]uintptr, mostCallersLooked)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var functions []string
	for {
		frame, more := frames.Next()
		functions = append(functions, frame.Function)
		if !more {
			return phaseOf(functions)
		}
	}
}

func phaseOf(functions []string) phase {
	reload, setup := false, false
	for _, function := range functions {
		name, ok := strings.CutPrefix(function, collectorPackage)
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		reload = reload || strings.Contains(name, functionOfReload)
		setup = setup || strings.Contains(name, functionOfSetup)
	}
	switch {
	case !reload:
		return phaseOther
	case setup:
		return phaseRenewing
	default:
		return phaseRetiring
	}
}
