// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"
	"errors"
	"sync"
	"time"
)

// retryMin is the first pause after an error.
const retryMin = time.Second

// attempts remembers what failed, so that one segment that can't be transferred does not hold up the others, and a bucket that is
// away is not asked about every segment.
type attempts struct {
	failed func() // counts
	first  time.Duration

	mu   sync.Mutex
	next map[string]attempt
}

type attempt struct {
	at    time.Time
	pause time.Duration
	err   error
}

// downError says that nothing works at the moment.
type downError struct{ error }

func (e downError) Unwrap() error { return e.error }

// each calls f with every segment whose time has come, several at a time, and returns for how many it was true. The error is of those that fail, also of those
// that wait for their next attempt.
func (a *attempts) each(ctx context.Context, cfg *Config, all []object, f func(context.Context, object) (bool, error)) (done int, err error) {
	before := a.next
	a.next = map[string]attempt{}
	var (
		wg    sync.WaitGroup
		row   int // failures since something went well
		down  bool
		turns = make(chan object)
	)
	for range cfg.Concurrency {
		wg.Go(func() {
			for o := range turns {
				one, cancel := context.WithTimeout(ctx, cfg.Timeout)
				ok, err := f(one, o)
				cancel()
				a.mu.Lock()
				switch {
				case err == nil:
					row = 0
				case ctx.Err() == nil:
					row++
					a.fail(o.key(), before[o.key()].pause, err, cfg.RetryMaxInterval)
				}
				if ok {
					done++
				}
				down = down || row >= 2*cfg.Concurrency
				a.mu.Unlock()
			}
		})
	}
	now := time.Now()
	for _, o := range all {
		a.mu.Lock()
		last, failed := before[o.key()]
		wait := failed && now.Before(last.at)
		if wait {
			a.next[o.key()] = last
		}
		stop := down
		a.mu.Unlock()
		if stop || ctx.Err() != nil {
			break
		}
		if !wait {
			turns <- o
		}
	}
	close(turns)
	wg.Wait()
	if err = a.errs(); down {
		err = downError{err}
	}
	return done, errors.Join(err, ctx.Err())
}

func (a *attempts) fail(key string, last time.Duration, err error, longest time.Duration) {
	pause := min(max(2*last, a.first), longest)
	a.next[key] = attempt{at: time.Now().Add(pause), pause: pause, err: err}
	a.failed()
}

// errs is what fails, in a bearable length.
func (a *attempts) errs() error {
	var errs []error
	for _, f := range a.next {
		if errs = append(errs, f.err); len(errs) == 3 {
			break
		}
	}
	return errors.Join(errs...)
}
