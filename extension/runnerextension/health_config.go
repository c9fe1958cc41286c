// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/supervise"
)

// The defaults of a health check.
const (
	defaultHealthInterval      = 10 * time.Second
	defaultHealthStartInterval = time.Second
	defaultHealthTimeout       = 5 * time.Second
	defaultHealthStartPeriod   = 30 * time.Second
	defaultUnhealthyThreshold  = 3
)

// HealthConfig is the health check of a server: one of HTTP, TCP and Command. A duration or a threshold
// that is not set has its default.
type HealthConfig struct {
	HTTP *HTTPProbeConfig `mapstructure:"http"`
	TCP  *TCPProbeConfig  `mapstructure:"tcp"`
	// Command runs in the folder and the environment of the server; exit code 0 is healthy.
	Command []string `mapstructure:"command"`
	// StartInterval is the time between two probes while the server starts (1s), Interval the one after that (10s).
	StartInterval time.Duration `mapstructure:"start_interval"`
	Interval      time.Duration `mapstructure:"interval"`
	// Timeout of one probe (5s).
	Timeout time.Duration `mapstructure:"timeout"`
	// StartPeriod is how long a starting server may fail its probes (30s).
	StartPeriod *time.Duration `mapstructure:"start_period"` // a pointer, because 0 has a meaning
	// HealthyThreshold and UnhealthyThreshold are the results in a row that change the state (1 and 3).
	HealthyThreshold   int `mapstructure:"healthy_threshold"`
	UnhealthyThreshold int `mapstructure:"unhealthy_threshold"`
	// RestartOnUnhealthy stops a server that became unhealthy, as a failure.
	RestartOnUnhealthy bool `mapstructure:"restart_on_unhealthy"`
}

// HTTPProbeConfig is a GET, either of a path on localhost or of a URL.
type HTTPProbeConfig struct {
	// Path on localhost; / when empty.
	Path string `mapstructure:"path"`
	// Port is that of assign_port or of PORT in env when it is not set.
	Port int `mapstructure:"port"`
	// URL stands instead of Path and Port.
	URL string `mapstructure:"url"`
	// ExpectStatus lists the codes that are healthy; when empty, those from 200 to 399.
	ExpectStatus []int `mapstructure:"expect_status"`
}

// TCPProbeConfig is a connection to localhost.
type TCPProbeConfig struct {
	// Port is that of assign_port or of PORT in env when it is not set.
	Port int `mapstructure:"port"`
}

// validate is given the PORT of the server, see ServerConfig.port.
func (h *HealthConfig) validate(key, port string, restart supervise.Restart) []error {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+format, args...))
	}
	probes := 0
	if h.HTTP != nil {
		probes++
		h.HTTP.validate(fail, port)
	}
	if h.TCP != nil {
		probes++
		validatePort(fail, "tcp", h.TCP.Port, port)
	}
	if len(h.Command) > 0 {
		probes++
		if h.Command[0] == "" {
			fail(".command: the program, its first entry, must not be empty")
		}
		if strings.ContainsRune(strings.Join(h.Command, ""), 0) {
			fail(".command: must not contain a NUL byte")
		}
	}
	if probes != 1 {
		fail(": must have exactly one of http (such as {path: /health, port: 4111}), tcp (such as {port: 4111}) and command")
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"start_interval", h.StartInterval}, {"interval", h.Interval}, {"timeout", h.Timeout}} {
		if d.value != 0 && d.value < time.Millisecond {
			fail(".%s: must be at least 1ms, not %s", d.key, d.value)
		}
	}
	if h.StartPeriod != nil && *h.StartPeriod < 0 {
		fail(".start_period: must be at least 0s, not %s", *h.StartPeriod)
	}
	if h.HealthyThreshold < 0 {
		fail(".healthy_threshold: must be at least 1, not %d", h.HealthyThreshold)
	}
	if h.UnhealthyThreshold < 0 {
		fail(".unhealthy_threshold: must be at least 1, not %d", h.UnhealthyThreshold)
	}
	if h.RestartOnUnhealthy && restart == supervise.RestartNever {
		fail(".restart_on_unhealthy: contradicts `restart: never`; use `restart: on_failure` or always")
	}
	return errs
}

func (h *HTTPProbeConfig) validate(fail func(string, ...any), port string) {
	if h.URL == "" {
		if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
			fail(".http.path: must begin with a slash, such as /health, not %q", h.Path)
		} else if _, err := url.ParseRequestURI(h.Path); h.Path != "" && err != nil {
			fail(".http.path: %w", err)
		}
		validatePort(fail, "http", h.Port, port)
	} else {
		if u, err := url.Parse(h.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			fail(".http.url: must be a URL such as http://localhost:4111/health, not %q", h.URL)
		}
		if h.Path != "" || h.Port != 0 {
			fail(".http: has a url, which excludes path and port")
		}
	}
	for i, status := range h.ExpectStatus {
		if status < 100 || status > 599 {
			fail(".http.expect_status[%d]: must be from 100 to 599, not %d", i, status)
		}
	}
}

func validatePort(fail func(string, ...any), probe string, port int, env string) {
	if port < 0 || port > 65535 {
		fail(".%s.port: must be from 1 to 65535, not %d", probe, port)
		return
	}
	if port != 0 || env == assignedPort {
		return
	}
	if n, err := strconv.Atoi(env); err != nil || n < 1 || n > 65535 {
		fail(".%s.port: must be set, because the server has neither assign_port nor a port as PORT in its env", probe)
	}
}

// check turns the configuration into what the supervisor runs. nil for a server without a health check.
func (h *HealthConfig) check(port string) *supervise.HealthCheck {
	if h == nil {
		return nil
	}
	check := &supervise.HealthCheck{
		StartInterval: cmp.Or(h.StartInterval, defaultHealthStartInterval), Interval: cmp.Or(h.Interval, defaultHealthInterval),
		Timeout: cmp.Or(h.Timeout, defaultHealthTimeout), StartPeriod: defaultHealthStartPeriod,
		HealthyThreshold: cmp.Or(h.HealthyThreshold, 1), UnhealthyThreshold: cmp.Or(h.UnhealthyThreshold, defaultUnhealthyThreshold),
		RestartUnhealthy: h.RestartOnUnhealthy,
	}
	if h.StartPeriod != nil {
		check.StartPeriod = *h.StartPeriod
	}
	switch {
	case h.HTTP != nil:
		probe := supervise.HTTPProbe{URL: h.HTTP.URL, Path: cmp.Or(h.HTTP.Path, "/"), Statuses: h.HTTP.ExpectStatus}
		if address := localAddress(h.HTTP.Port, port); probe.URL == "" && address != "" {
			probe.URL = "http://" + address + probe.Path
		}
		check.Probe = probe
	case h.TCP != nil:
		check.Probe = supervise.TCPProbe{Address: localAddress(h.TCP.Port, port)}
	default:
		check.Probe = supervise.CommandProbe{Command: h.Command}
	}
	return check
}

// localAddress is empty when the port is assigned later. It is not 127.0.0.1, because a server may listen on
// ::1 only, and both are tried.
func localAddress(port int, env string) string {
	if port != 0 {
		env = strconv.Itoa(port)
	}
	if env == assignedPort {
		return ""
	}
	return net.JoinHostPort("localhost", env)
}
