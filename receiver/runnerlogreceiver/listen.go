// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"context"
	"errors"
	"fmt"
	"net"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/lineproto"
)

// listener takes the output of processes that others run. A nil listener is none.
type listener struct {
	receiver    *runnerLog
	cfg         *ListenConfig
	server      *lineproto.Server
	registry    identity.TokenRegistry // nil: there is no runner
	deployments *deployments

	unsettled map[*listened]struct{} // taken, and not acknowledged as a whole. Guarded by receiver.mu
}

// startListening opens the sockets.
func (r *runnerLog) startListening(host component.Host) error {
	l := &listener{receiver: r, cfg: r.cfg.Listen, deployments: newDeployments(), unsettled: map[*listened]struct{}{}}
	l.registry, _ = host.GetExtensions()[r.cfg.Runner].(identity.TokenRegistry)
	var listeners []net.Listener
	closeAll := func() {
		for _, open := range listeners {
			_ = open.Close()
		}
	}
	tcp := 1 << 10
	if l.cfg.Socket != "" {
		mode, _ := l.cfg.mode() // validated
		socket, err := lineproto.ListenUnix(l.cfg.Socket, mode)
		if err != nil {
			return fmt.Errorf("listen::socket: %w", err)
		}
		listeners = append(listeners, socket)
	}
	var token string
	if l.cfg.TCP != nil {
		token = string(l.cfg.TCP.Token)
		socket, err := net.Listen("tcp", l.cfg.TCP.Endpoint)
		if err != nil {
			closeAll()
			return fmt.Errorf("listen::tcp::endpoint: %w", err)
		}
		tcp = len(listeners)
		listeners = append(listeners, socket)
	}
	l.server = lineproto.NewServer(lineproto.ServerOptions{
		Token: token, MaxConnections: l.cfg.MaxConnections, MaxLineBytes: l.cfg.MaxLineBytes, WindowBytes: l.cfg.WindowBytes,
		HelloTimeout: l.cfg.HelloTimeout, IdleTimeout: l.cfg.IdleTimeout, LostAfter: l.cfg.LostAfter, Remember: l.cfg.Remember,
		Welcome: l.welcome, Deliver: l.deliver, Forget: l.forget, Refused: l.refused, Logger: r.logger,
	})
	r.mu.Lock()
	r.listen = l
	r.mu.Unlock()
	for i, socket := range listeners {
		l.server.Serve(socket, i == tcp)
		r.logger.Info("Lines of other runners are taken", zap.Stringer("address", socket.Addr()))
	}
	return nil
}

// stop ends the taking of lines. What is not acknowledged stays with the senders.
func (l *listener) stop() {
	if l != nil {
		l.server.Stop()
	}
}

func (l *listener) close() {
	if l != nil {
		l.server.Close()
	}
}

// welcome lets the secret of a run stand for its identity, and tells where its command sends its telemetry.
func (l *listener) welcome(run *lineproto.Run) *lineproto.OTLP {
	if l.cfg.OTLPEndpoint == "" {
		return nil
	}
	otlp := &lineproto.OTLP{Endpoint: l.cfg.OTLPEndpoint, Protocol: "http/protobuf"}
	if token := run.Hello.OTLPToken; token != "" && l.registry != nil && l.registry.RegisterToken(token, identityOf(&run.Hello)) {
		// As a bearer token: one that nobody knows is ignored, and for a moment after a restart of the collector nobody does.
		otlp.Headers = map[string]string{"authorization": "Bearer " + token}
	}
	return otlp
}

func (l *listener) forget(run *lineproto.Run) {
	if l.registry != nil && run.Hello.OTLPToken != "" {
		l.registry.ForgetToken(run.Hello.OTLPToken)
	}
	r := l.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := run.Data.(*listened); ok {
		l.deployments.forget(state)
		delete(r.grouping.sources, state.source)
		delete(l.unsettled, state)
	}
}

func (l *listener) refused(code string) {
	l.receiver.telemetry.RunnerLogListenErrors.Add(context.Background(), 1, metric.WithAttributes(attribute.String("code", code)))
}

// deliver hands items to the receiver as if a runner of this collector had read them.
func (l *listener) deliver(ctx context.Context, groups []lineproto.Group) error {
	batch, touched := l.convert(groups)
	if err := l.receiver.Deliver(ctx, batch); err != nil {
		if ctx.Err() == nil {
			return errors.Join(err, context.Canceled) // does not happen: only ctx makes Deliver fail
		}
		return err
	}
	l.receiver.mu.Lock()
	defer l.receiver.mu.Unlock()
	for i, state := range touched {
		items := groups[i].Items
		for j := len(items) - 1; j >= 0; j-- {
			if items[j].Seq > 0 {
				state.taken = items[j].Seq
				l.unsettled[state] = struct{}{}
				break
			}
		}
	}
	l.settle(l.receiver.grouping)
	return nil
}

// settle acknowledges what the pipeline has taken: everything but the lines that are held as the beginning of a stack
// trace, and what came behind them. Needs receiver.mu.
func (l *listener) settle(g *grouping) {
	if l == nil {
		return
	}
	for state := range l.unsettled {
		upTo := state.taken
		if s, ok := g.sources[state.source]; ok {
			for i := range s.streams {
				if held := s.streams[i].Held(); len(held) > 0 {
					upTo = min(upTo, lineproto.Seq(held[0].With.UID)-1)
				}
			}
		}
		l.server.Ack(state.run, upTo)
		if upTo == state.taken {
			delete(l.unsettled, state)
		}
	}
}
