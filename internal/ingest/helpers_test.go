// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/ingest/linecodec"
	"github.com/tailrace/tailrace/internal/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errPermanent = errors.New("never")
	errRefused   = errors.New("refused before anything was written")
	errDoubtful  = errors.New("an error that nobody knows")
)

func classify(err error) (ingest.Class, string) {
	switch {
	case errors.Is(err, errPermanent):
		return ingest.Permanent, ""
	case errors.Is(err, errRefused):
		return ingest.Refused, ""
	case errors.Is(err, errDoubtful):
		return ingest.Doubtful, ""
	}
	return ingest.Heals, ""
}

// store accepts log records as ClickHouse does: what comes under a token it knows is dropped.
type store struct {
	mu     sync.Mutex
	tokens map[string][]string
	order  []string // uids in order of arrival
	units  [][]string
	err    error // answer, instead of storing
	// lost makes the store keep the unit although it answers err.
	lost     bool
	refuse   func(uids []string) error // nil accepts all
	partly   int                       // so many records of what is refused are kept
	left     int                       // answers until it is away, when limited
	limited  bool
	attempts []attempt
	health   []error
	failed   map[string]int
	replayed int
	expired  int
	trouble  map[string]int
}

type attempt struct {
	token string
	uids  string
}

func newStore() *store {
	return &store{tokens: map[string][]string{}, failed: map[string]int{}, trouble: map[string]int{}}
}

func (s *store) deliver(_ context.Context, token string, u ingest.Unit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var uids []string
	data := u.(*linecodec.Unit[plog.Logs]).Data
	for _, rl := range data.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				uids = append(uids, r.Body().Str())
				r.Body().SetStr("changed by the consumer")
			}
		}
	}
	s.attempts = append(s.attempts, attempt{token, strings.Join(uids, " ")})
	if s.err != nil && !s.lost {
		return s.err
	}
	if s.left--; s.limited && s.left < 0 {
		return errors.New("away")
	}
	if s.refuse != nil {
		if err := s.refuse(uids); err != nil {
			for _, uid := range uids[:min(s.partly, len(uids))] {
				if !slices.Contains(s.order, uid) && s.refuse([]string{uid}) == nil {
					s.order = append(s.order, uid)
				}
			}
			return err
		}
	}
	if _, known := s.tokens[token]; !known {
		s.tokens[token] = uids
		s.order = append(s.order, uids...)
		s.units = append(s.units, uids)
	}
	return s.err
}

// missing removes what is in the store.
func (s *store) missing(_ context.Context, u ingest.Unit) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := u.(*linecodec.Unit[plog.Logs]).Data
	for _, rl := range data.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			sl.LogRecords().RemoveIf(func(r plog.LogRecord) bool { return slices.Contains(s.order, r.Body().Str()) })
		}
	}
	return data.LogRecordCount(), nil
}

func (s *store) setRefuse(f func([]string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// quota lets the store answer n times, then it is away.
func (s *store) quota(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.limited = n, true
}

// forget forgets all tokens.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

func (s *store) lastHealth() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health[len(s.health)-1]
}

// sent lists what was sent under each token.
func (s *store) sent() map[string]map[string]bool {
	by := map[string]map[string]bool{}
	for _, a := range s.tries() {
		if by[a.token] == nil {
			by[a.token] = map[string]bool{}
		}
		by[a.token][a.uids] = true
	}
	return by
}

func (s *store) answer(err error, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.lost = err, lost
}

func (s *store) uids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.order...)
}

func (s *store) tries() []attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]attempt(nil), s.attempts...)
}

func (s *store) count(m map[string]int, k string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m[k]
}

// The store is the Observer too.

func (s *store) Delivered(_ string, _ int, _ int64, _ time.Duration, replayed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if replayed {
		s.replayed++
	}
}

func (s *store) Failed(_, kind string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[kind] += n
}

func (s *store) Trouble(_, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble[kind]++
}

func (s *store) Health(_ string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = append(s.health, err)
}

func (*store) Retried(string, error) {}
func (*store) Moved(string, int)     {}

func (s *store) Expired(_ string, files int, _ int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired += files
}

// options read logs; notifications are the only way to notice anything after the start.
func options(dir string, s *store) ingest.Options {
	return ingest.Options{
		Path: dir,
		Limits: ingest.Limits{
			MaxRecords: 1000, MaxBytes: 1 << 20, MaxDelay: 20 * time.Millisecond, MaxLineBytes: 100_000,
			PollInterval: time.Hour, RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond,
		},
		Sources: []ingest.Source{{
			Signal: "logs", Types: []segment.Type{segment.Logs, segment.Scores}, NewBatch: linecodec.NewLogs, Deliver: s.deliver,
		}},
		Classify: classify,
		Observer: s,
	}
}

func start(t testing.TB, o ingest.Options) *ingest.Engine {
	t.Helper()
	e, err := ingest.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t testing.TB, e *ingest.Engine) {
	t.Helper()
	require.NoError(t, e.Shutdown(context.Background(), 5*time.Second))
}

// line is a log record with its uid as body, on a day of 2026.
func line(uid string) string { return lineAt(uid, 0) }

func lineAt(uid string, day int) string {
	ts := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, day).UnixNano()
	return fmt.Sprintf(`{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[{"timeUnixNano":"%d","body":{"stringValue":"%s"}}]}]}]}`, ts, uid) + "\n"
}

func lines(prefix string, n int) (text string, uids []string) {
	var b strings.Builder
	for i := range n {
		uid := fmt.Sprintf("%s%d", prefix, i)
		uids = append(uids, uid)
		b.WriteString(line(uid))
	}
	return b.String(), uids
}

// put writes a file below the base folder, appending to it.
func put(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return path
}

// age makes a file look as if nobody had written to it for a while.
func age(t testing.TB, path string) {
	t.Helper()
	old := time.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(path, old, old))
}

func eventually(t testing.TB, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, 60*time.Second, 2*time.Millisecond, what)
}

func loaded(t testing.TB, s *store, want ...string) {
	t.Helper()
	eventually(t, func() bool { return len(s.uids()) >= len(want) }, fmt.Sprintf("%d records", len(want)))
	assert.ElementsMatch(t, want, s.uids())
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func (s *store) retained() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expired
}
