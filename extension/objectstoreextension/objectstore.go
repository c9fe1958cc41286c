// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/extension/objectstoreextension/internal/metadata"
)

// lockInterval is the time between two attempts to take over a folder, logInterval that between two lines about the same trouble.
const (
	lockInterval = 250 * time.Millisecond
	logInterval  = time.Minute
)

// objectStore runs an uploader or a downloader, and tells the collector how it fares.
type objectStore struct {
	cfg       *Config
	log       *zap.Logger
	telemetry *metadata.TelemetryBuilder
	tel       observer
	hook      func(point, key string) error // only in tests

	host   component.Host
	locks  locks
	way    way // nil as long as another collector has the folder
	bucket *bucket
	tries  *attempts

	cancel context.CancelFunc
	done   sync.WaitGroup
	failed bool
	logged time.Time
}

// way is one of the two directions.
type way interface {
	// pass does what can be done now, and returns how many segments are left.
	pass(ctx context.Context, b *bucket, tries *attempts) (left int, err error)
}

var _ extension.Extension = (*objectStore)(nil)

func newObjectStore(set extension.Settings, cfg *Config) (*objectStore, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	s := &objectStore{cfg: cfg, log: set.Logger, telemetry: telemetry, tel: observer{telemetry}, hook: func(string, string) error { return nil }}
	s.tries = &attempts{first: retryMin, failed: func() { s.tel.failed(s.direction()) }}
	return s, nil
}

func (s *objectStore) direction() string {
	if s.cfg.Upload.HasValue() {
		return directionUpload
	}
	return directionDownload
}

// Start takes the folder. It does not wait for the bucket; what an earlier process had claimed is handed over before
// the receivers start.
func (s *objectStore) Start(_ context.Context, host component.Host) error {
	s.host = host
	err := s.take()
	switch {
	case errors.Is(err, errInUse) && s.cfg.Download.HasValue():
		s.log.Info("Another collector fills this folder, this one stands by to take over", zap.String("reason", err.Error()))
	case err != nil:
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.run(ctx) })
	return nil
}

// take locks the folder, and makes what works on it.
func (s *objectStore) take() error {
	held, err := lockFolder(s.cfg)
	if err != nil {
		return err
	}
	s.locks = held
	if u := s.cfg.Upload.Get(); u != nil {
		s.way = &uploader{cfg: s.cfg, after: u.AfterUpload, tel: s.tel, hook: s.hook}
		return nil
	}
	d, err := newDownloader(s.cfg, s.tel, s.log, s.hook)
	if err != nil {
		held.release()
		s.locks = nil
		return err
	}
	s.way = d
	return nil
}

func (s *objectStore) run(ctx context.Context) {
	every := s.interval()
	pause := time.Duration(0) // after errors
	for {
		wait := lockInterval
		if s.way == nil {
			if err := s.take(); err != nil && !errors.Is(err, errInUse) {
				s.report(err)
			}
		}
		if s.way != nil {
			_, err := s.pass(ctx)
			if ctx.Err() != nil {
				return
			}
			s.report(err)
			wait = every
			var down downError
			if errors.As(err, &down) {
				pause = min(max(2*pause, retryMin), s.cfg.RetryMaxInterval)
				wait = max(wait, pause)
			} else {
				pause = 0
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (s *objectStore) interval() time.Duration {
	if u := s.cfg.Upload.Get(); u != nil {
		return u.PollInterval
	}
	return s.cfg.Download.Get().PollInterval
}

// pass opens the bucket when that has not worked yet, and looks once at what is to be done.
func (s *objectStore) pass(ctx context.Context) (left int, err error) {
	if s.bucket == nil {
		if s.bucket, err = openBucket(ctx, s.cfg); err != nil {
			s.bucket = nil
			s.tel.failed(s.direction())
			return 0, downError{err}
		}
	}
	return s.way.pass(ctx, s.bucket, s.tries)
}

// report tells the collector, and the log, how it fares.
func (s *objectStore) report(err error) {
	switch {
	case err != nil:
		if !s.failed || time.Since(s.logged) > logInterval {
			s.log.Error("Segments can't be carried through object storage; it is tried again", zap.String("direction", s.direction()), zap.Error(err))
			s.logged = time.Now()
		}
		if !s.failed {
			componentstatus.ReportStatus(s.host, componentstatus.NewRecoverableErrorEvent(err))
		}
	case s.failed:
		s.log.Info("Object storage works again", zap.String("direction", s.direction()))
		componentstatus.ReportStatus(s.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
	s.failed = err != nil
}

// Shutdown ends what is under way. An edge uploads what the pipelines have just completed, within shutdown_timeout; what
// remains, the next start uploads.
func (s *objectStore) Shutdown(ctx context.Context) error {
	if s.cancel != nil {
		s.cancel()
	}
	s.done.Wait()
	if u := s.cfg.Upload.Get(); u != nil && s.way != nil {
		s.drain(ctx, u.ShutdownTimeout)
	}
	var err error
	if s.bucket != nil {
		err = s.bucket.Close()
	}
	s.locks.release()
	s.telemetry.Shutdown()
	return err
}

func (s *objectStore) drain(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		all, young, err := pending(s.cfg.Path, 0)
		left := len(all) + young
		if err == nil && left > 0 {
			left, err = s.pass(ctx)
		}
		if err == nil && left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.log.Warn("Segments were not uploaded before the end; the next start uploads them", zap.Int("segments", left), zap.String("path", s.cfg.Path), zap.Error(err))
			return
		case <-time.After(lockInterval):
		}
	}
}
