// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
)

// ListenConfig says where and how lines of other runners are taken (docs/protocol/runner-lines.md).
type ListenConfig struct {
	// Socket is the path of a Unix socket; empty: none.
	Socket string `mapstructure:"socket"`
	// Mode is that of the socket, in octal digits: who may write to it may send lines for any server.
	Mode string `mapstructure:"mode"`
	// TCP is for runners that can't reach the socket.
	TCP *ListenTCPConfig `mapstructure:"tcp"`
	// OTLPEndpoint is told to runners, which hand it to their commands; empty: none.
	OTLPEndpoint string `mapstructure:"otlp_endpoint"`
	// MaxConnections at the same time; each run has one.
	MaxConnections int `mapstructure:"max_connections"`
	// MaxLineBytes of a line; longer ones come in parts.
	MaxLineBytes int `mapstructure:"max_line_bytes"`
	// WindowBytes bounds what of one runner waits for the pipeline.
	WindowBytes int `mapstructure:"window_bytes"`
	// HelloTimeout is how long a runner may take to say who it is.
	HelloTimeout time.Duration `mapstructure:"hello_timeout"`
	// IdleTimeout is how long a runner may say nothing before its connection is ended.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`
	// LostAfter is how long a runner may be away before that is an event.
	LostAfter time.Duration `mapstructure:"lost_after"`
	// Remember is how long a run is known after its runner has gone.
	Remember time.Duration `mapstructure:"remember"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ListenTCPConfig is a TCP address of this machine.
type ListenTCPConfig struct {
	// Endpoint is an address on loopback, as host:port.
	Endpoint string `mapstructure:"endpoint"`
	// Token is what runners have to show: at least 16 characters.
	Token configopaque.String `mapstructure:"token"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	minListenLine = 256
	maxListenLine = 3 << 20
	minToken      = 16
)

func defaultListen() *ListenConfig {
	return &ListenConfig{
		Mode: "0600", OTLPEndpoint: "http://localhost:4318",
		MaxConnections: 256, MaxLineBytes: 256 << 10, WindowBytes: 1 << 20,
		HelloTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		LostAfter: 10 * time.Second, Remember: 10 * time.Minute,
	}
}

var _ confmap.Unmarshaler = (*Config)(nil)

// Unmarshal implements confmap.Unmarshaler: listen has defaults only where it is there.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if conf.IsSet("listen") {
		c.Listen = defaultListen()
	}
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	c.runnerNamed = conf.IsSet("runner")
	return nil
}

// onlyListens says that there is no runner, and that this is meant: nobody named one.
func (c *Config) onlyListens(host component.Host) bool {
	if c.Listen == nil || c.runnerNamed {
		return false
	}
	_, ok := host.GetExtensions()[c.Runner]
	return !ok
}

// Validate implements confmap.Validator. The paths of keys are put before the messages by the caller.
func (l *ListenConfig) Validate() error {
	var errs []error
	if l.Socket == "" && l.TCP == nil {
		errs = append(errs, errors.New("socket: must be the path of a Unix socket, or tcp must be given"))
	}
	if _, err := l.mode(); err != nil {
		errs = append(errs, err)
	}
	if l.TCP != nil {
		errs = append(errs, l.TCP.validate()...)
	}
	if u, err := url.Parse(l.OTLPEndpoint); l.OTLPEndpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, fmt.Errorf("otlp_endpoint: must be a URL such as http://localhost:4318, or empty, not %q", l.OTLPEndpoint))
	}
	if l.MaxLineBytes < minListenLine || l.MaxLineBytes > maxListenLine {
		errs = append(errs, fmt.Errorf("max_line_bytes: must be from %d to %d, not %d", minListenLine, maxListenLine, l.MaxLineBytes))
	}
	if l.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("max_connections: must be at least 1, not %d", l.MaxConnections))
	}
	if l.WindowBytes < 1 {
		errs = append(errs, fmt.Errorf("window_bytes: must be at least 1, not %d", l.WindowBytes))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"hello_timeout", l.HelloTimeout}, {"idle_timeout", l.IdleTimeout},
		{"lost_after", l.LostAfter}, {"remember", l.Remember},
	} {
		if d.value < time.Millisecond {
			errs = append(errs, fmt.Errorf("%s: must be at least 1ms, not %s", d.key, d.value))
		}
	}
	return errors.Join(errs...)
}

func (l *ListenConfig) mode() (fs.FileMode, error) {
	mode, err := strconv.ParseUint(l.Mode, 8, 32)
	if err != nil || mode > 0o777 || mode&0o600 != 0o600 {
		return 0, fmt.Errorf("mode: must be octal digits in quotes that let the owner read and write, such as \"0600\" or \"0660\", not %q", l.Mode)
	}
	return fs.FileMode(mode), nil
}

// validate refuses what would send tokens and lines over a network in the clear.
func (t *ListenTCPConfig) validate() []error {
	var errs []error
	host, _, err := net.SplitHostPort(t.Endpoint)
	ip := net.ParseIP(host)
	if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("tcp::endpoint: must be an address of this machine such as localhost:4319, because nothing is encrypted, not %q", t.Endpoint))
	}
	if len(t.Token) < minToken {
		errs = append(errs, fmt.Errorf("tcp::token: must have at least %d characters: everybody on this machine can connect. Take it from the environment: ${env:…}", minToken))
	}
	return errs
}
