// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/supervise"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver/internal/metadata"
)

const (
	// A refused batch is offered again after firstWait, doubled up to longestWait.
	firstWait   = 20 * time.Millisecond
	longestWait = 2 * time.Second
	// tellAfter is how long a refusal lasts before it is logged and shown as a status: shorter ones are
	// what back-pressure looks like.
	tellAfter = time.Second
	// lastWait bounds how long Shutdown waits for the pipeline to take lines that were held back.
	lastWait = 5 * time.Second

	format = "runner"
)

// runnerLog is the receiver: a sink of the runner's output.
type runnerLog struct {
	cfg       *Config
	next      consumer.Logs
	logger    *zap.Logger
	report    *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	host      component.Host
	detach    func()

	stop  context.CancelFunc // ends flush; set by Start
	ended chan struct{}      // flush has ended
	held  chan struct{}      // tells flush that lines are held back

	mu       sync.Mutex // only one output is offered at a time, in the order of its lines
	grouping *grouping
	records  records

	listen *listener // nil without listen
}

var _ supervise.Sink = (*runnerLog)(nil)

func newRunnerLog(set receiver.Settings, cfg *Config, next consumer.Logs) (*runnerLog, error) {
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "pipe", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	hostname, _ := os.Hostname() // the attribute is left out without
	return &runnerLog{
		cfg: cfg, next: next, logger: set.Logger, report: report, telemetry: telemetry,
		held: make(chan struct{}, 1), grouping: newGrouping(cfg.of),
		records: records{host: hostname, version: set.BuildInfo.Version, scopeName: metadata.ScopeName},
	}, nil
}

// Start attaches to the runner; its servers start later, when all pipelines are ready.
func (r *runnerLog) Start(_ context.Context, host component.Host) error {
	r.host = host
	if err := r.attach(host); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.ended = make(chan struct{})
	go r.flush(ctx)
	if r.cfg.Listen != nil {
		return r.startListening(host)
	}
	return nil
}

// attach begins to read a runner.
func (r *runnerLog) attach(host component.Host) error {
	r.detach = func() {}
	if r.cfg.onlyListens(host) {
		return nil
	}
	output, err := runnerOf[supervise.Output](host, r.cfg.Runner)
	if err != nil {
		return err
	}
	if known, ok := output.(interface{ ServerIDs() []string }); ok {
		for _, id := range r.cfg.unknown(known.ServerIDs()) {
			r.logger.Warn(fmt.Sprintf("servers::%s: the runner %q has no server with this id, so these keys mean nothing; "+
				"write the id as it is under servers of the runner", id, r.cfg.Runner), zap.Strings("ids", known.ServerIDs()))
		}
	}
	detach, err := output.Attach(r)
	if err != nil {
		return fmt.Errorf("runner: %q can't be read: %w", r.cfg.Runner, err)
	}
	r.detach = detach
	return nil
}

// runnerOf finds the runner extension that the configuration names.
func runnerOf[T any](host component.Host, id component.ID) (T, error) {
	var none T
	extension, ok := host.GetExtensions()[id]
	if !ok {
		return none, fmt.Errorf("runner: there is no extension %q: define it under extensions and list it in service::extensions", id)
	}
	runner, ok := extension.(T)
	if !ok {
		return none, fmt.Errorf("runner: the extension %q runs no servers: name an extension of the type runner", id)
	}
	return runner, nil
}

// Shutdown implements component.Component. What the pipeline has not accepted stays with the runner, but for lines
// that were held back as the beginning of a stack trace: they are offered now.
func (r *runnerLog) Shutdown(ctx context.Context) error {
	if r.stop != nil {
		r.stop()
		r.detach()
		r.listen.stop()
		<-r.ended
		r.stop = nil
		r.flushAll(ctx)
		r.listen.close()
	}
	r.telemetry.Shutdown()
	return nil
}

// flush gives out lines that were held back when nothing followed them.
func (r *runnerLog) flush(ctx context.Context) {
	defer close(r.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.held:
		case <-timer.C:
		}
		if wait := r.flushDue(ctx); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// flushDue offers what has waited long enough, and returns how long the rest may wait, 0 when nothing is held.
func (r *runnerLog) flushDue(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, wait := r.grouping.due(time.Now(), false)
	if len(out) == 0 {
		return wait
	}
	if r.deliver(ctx, out) != nil {
		r.grouping.rollback()
		return 0
	}
	r.grouping.reuse(out)
	r.listen.settle(r.grouping)
	return wait
}

// flushAll offers what is held for as long as ctx allows, but not longer than lastWait.
func (r *runnerLog) flushAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	out, _ := r.grouping.due(time.Now(), true)
	if len(out) == 0 {
		return
	}
	if err := r.deliver(ctx, out); err != nil {
		r.drop(ctx, out, err)
		return // what others sent is not acknowledged, and comes again
	}
	r.listen.settle(r.grouping)
}

// Deliver implements supervise.Sink. It waits as long as the pipeline refuses for now; that it does not
// return is what makes the runner stop reading. It keeps a line that may be the beginning of a stack trace for at most
// logline.MaxHold after it has returned.
func (r *runnerLog) Deliver(ctx context.Context, batch supervise.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil { // while another output was offered
		return ctx.Err()
	}
	out := r.grouping.take(batch, time.Now())
	if err := r.deliver(ctx, out); err != nil {
		r.grouping.rollback()
		return err
	}
	r.grouping.reuse(out)
	if r.grouping.holds() {
		select {
		case r.held <- struct{}{}:
		default: // it knows already
		}
	}
	return nil
}

// deliver returns when out is accepted or dropped; the error is that of ctx.
func (r *runnerLog) deliver(ctx context.Context, out output) error {
	if len(out) == 0 {
		return nil
	}
	err := r.offer(ctx, out)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(out) == 1 {
		r.drop(ctx, out, err)
		return nil
	}
	// One source may have spoilt it for all.
	for i := range out {
		single := out[i : i+1]
		err := r.offer(ctx, single)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.drop(ctx, single, err)
	}
	return nil
}

// offer repeats until the pipeline accepts or refuses for good, or ctx ends. Each try gets data of its
// own, because consumers may change theirs; the uids are the same.
func (r *runnerLog) offer(ctx context.Context, out output) error {
	count := out.Len()
	var refusedSince time.Time
	told := false
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		opCtx := r.report.StartLogsOp(ctx)
		err := r.next.ConsumeLogs(opCtx, r.records.build(out))
		r.report.EndLogsOp(opCtx, format, count, err)
		if err == nil || consumererror.IsPermanent(err) {
			if told {
				r.logger.Info("The pipeline answers again", zap.Duration("after", time.Since(refusedSince)))
				componentstatus.ReportStatus(r.host, componentstatus.NewEvent(componentstatus.StatusOK))
			}
			return err
		}
		now := time.Now()
		if refusedSince.IsZero() {
			refusedSince = now
		}
		if !told && now.Sub(refusedSince) >= tellAfter && ctx.Err() == nil {
			told = true
			r.logger.Warn("The pipeline refuses the servers' output; it is not read on until it is accepted", zap.Error(err))
			componentstatus.ReportStatus(r.host, componentstatus.NewRecoverableErrorEvent(
				fmt.Errorf("the pipeline refuses the servers' output: %w", err)))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			r.telemetry.RunnerLogRetries.Add(ctx, 1)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (r *runnerLog) drop(ctx context.Context, out output, err error) {
	for i := range out {
		r.telemetry.RunnerLogDropped.Add(ctx, int64(out[i].Len()))
		source := out[i].source
		r.logger.Error("Output was dropped, because the pipeline does not take it",
			zap.String("server", source.Server), zap.String("deployment", source.Deployment),
			zap.Int("records", out[i].Len()), zap.Error(err))
	}
}
