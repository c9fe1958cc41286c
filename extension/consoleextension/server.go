// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
)

// serve listens, and serves until Shutdown.
func (c *console) serve(ctx context.Context, host component.Host) error {
	listener, err := c.listen(ctx)
	if err != nil {
		return err
	}
	config := c.cfg.HTTP.ServerConfig
	config.WriteTimeout = 0 // it would cut streams; see deadline.go
	server, err := config.ToServer(ctx, host.GetExtensions(), c.settings, c.mounts)
	if err != nil {
		return errors.Join(fmt.Errorf("http: %w", err), listener.Close())
	}
	c.mu.Lock()
	c.server, c.addr = server, listener.Addr()
	c.mu.Unlock()
	c.running.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(fmt.Errorf("console: %w", err)))
		}
	})
	c.logger.Info("The console is listening", zap.String("endpoint", listener.Addr().String()), zap.Bool("auth", c.gate != nil))
	if c.gate != nil && !c.cfg.secure() && !isLocal(listener.Addr()) {
		c.logger.Warn("Credentials and cookies cross the network in the clear: configure http::tls, or end TLS at a proxy in front of the console " +
			"and set auth::session::secure")
	}
	return nil
}

func (c *console) listen(ctx context.Context) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	endpoint := c.cfg.HTTP.NetAddr.Endpoint
	listener, err := c.cfg.HTTP.ToListener(ctx)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http::endpoint: %s is in use by another program; stop that one, or set http::endpoint of the console to a free address: %w",
			endpoint, err)
	case err != nil:
		return nil, fmt.Errorf("http::endpoint: cannot listen on %s; set http::endpoint of the console to an address of this machine such as localhost:4400: %w",
			endpoint, err)
	}
	// What a name stands for is only known now.
	if c.gate == nil && !isLocal(listener.Addr()) {
		return nil, errors.Join(fmt.Errorf("http::endpoint: %s is %s, which other machines can reach, and everybody may see everything without auth: "+
			"configure auth, or listen on 127.0.0.1", endpoint, listener.Addr()), listener.Close())
	}
	return listener, nil
}

func isLocal(addr net.Addr) bool {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// address is where the server listens, nil before Start.
func (c *console) address() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}
