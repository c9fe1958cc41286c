// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Server says where ClickHouse is and who we are there.
type Server struct {
	// Endpoint is a URL such as tcp://127.0.0.1:9000, clickhouse://a:9000,b:9000 or https://host:8443, with the
	// driver's settings as query parameters.
	Endpoint string
	// Database holds the tables. It is created when missing.
	Database           string
	Username, Password string
	// TLS, when set, encrypts the connection.
	TLS *tls.Config
}

// maxDialTimeout bounds a dial and the handshake after it.
const maxDialTimeout = 5 * time.Second

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// Validate checks what can be checked without a network. Errors name the YAML key.
func (s Server) Validate() error {
	var errs error
	if _, err := s.options(); err != nil {
		errs = errors.Join(errs, err)
	}
	if !databaseName.MatchString(s.Database) {
		errs = errors.Join(errs, fmt.Errorf("database: %q is not allowed: up to 64 letters, digits, '_' and '-', not starting with a digit or '-'", s.Database))
	}
	if s.Username == "" {
		errs = errors.Join(errs, errors.New("username: must not be empty"))
	}
	return errs
}

func (s Server) options() (*clickhouse.Options, error) {
	scheme, _, ok := strings.Cut(s.Endpoint, "://")
	if !ok {
		return nil, fmt.Errorf("endpoint: %q is not a URL: use tcp://host:port (native protocol), or http(s)://host:port", s.Endpoint)
	}
	switch scheme {
	case "tcp", "clickhouse", "http", "https":
	default:
		return nil, fmt.Errorf("endpoint: scheme %q is not known: tcp, clickhouse, http and https are", scheme)
	}
	dsn := s.Endpoint
	if scheme == "https" && !strings.Contains(dsn, "secure=") {
		// The driver wants it said twice.
		dsn += map[bool]string{true: "&", false: "?"}[strings.Contains(dsn, "?")] + "secure=true"
	}
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		// The driver's message may hold the whole URL; a password in it must not get into a log.
		return nil, fmt.Errorf("endpoint: not a usable ClickHouse URL, expected something like tcp://127.0.0.1:9000: %w", scrub(err, dsn, s.Endpoint))
	}
	if opts.Auth.Username != "" || opts.Auth.Password != "" {
		return nil, errors.New("endpoint: must not contain a user or password: use the keys username and password")
	}
	if opts.Auth.Database != "" {
		return nil, errors.New("endpoint: must not contain a database: use the key database")
	}
	for _, addr := range opts.Addr {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("endpoint: %q has no port: write it as %s://%s:9000", addr, scheme, addr)
		}
	}
	opts.Auth.Username, opts.Auth.Password = s.Username, s.Password
	if s.TLS != nil {
		opts.TLS = s.TLS
	}
	return opts, nil
}

func scrub(err error, secrets ...string) error {
	text := err.Error()
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "(endpoint)")
	}
	return errors.New(text)
}

// open returns a lazy connection pool: nothing is dialled before its first use. It has no current database, since ours
// may not exist yet: a login that names a missing database fails, and ends a `clickhouse local` altogether.
func (s Server) open(conns int, timeout time.Duration, dials *dialer) (driver.Conn, error) {
	return s.openAt(conns, timeout, dials, func(*clickhouse.Options) {})
}

// openAt is open with something changed, such as the address.
func (s Server) openAt(conns int, timeout time.Duration, dials *dialer, change func(*clickhouse.Options)) (driver.Conn, error) {
	opts, err := s.options()
	if err != nil {
		return nil, err
	}
	change(opts)
	opts.MaxOpenConns, opts.MaxIdleConns = conns, conns
	if opts.DialTimeout == 0 || opts.DialTimeout > timeout {
		opts.DialTimeout = timeout
	}
	opts.ClientInfo.Products = append(opts.ClientInfo.Products, struct{ Name, Version string }{"tailrace", ""})
	// The driver leaves TLS to a custom dial function on the native protocol; over HTTP its transport does it.
	var encrypt *tls.Config
	if opts.Protocol == clickhouse.Native {
		encrypt = opts.TLS
	}
	timeout = opts.DialTimeout
	opts.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
		return dials.dial(ctx, addr, timeout, encrypt)
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	return conn, nil
}
